"""Pages of the server for people: the catalogue, an object, an element, the API; the same rights as of all other answers.

In: requests of browsers. Out: HTML made by the templates of this package, with
a Content-Security-Policy that runs no script and takes no style but the files
of `assets`. `rendering` makes every page; `negotiating` tells browsers from
programs, which get JSON.
"""
