"""Requests to other machines over HTTP.

In: an address that a user or another answer has named. Out: an answer of bounded
size in bounded time (`asking`, `pace`), from a host that may be reached (`reach`,
`peers`), by redirects that are followed safely (`redirects`).

It imports errors alone; the other packages make their requests through it.
"""
