"""Pages of the server for people: the catalogue, an object, an element, and the interface for programs.

The rights are those of all other answers.

In: requests of browsers. Out: HTML made by the templates of this package, with
a Content-Security-Policy that runs no script and takes no style but the files
of `assets`. `rendering` makes every page; `negotiating` tells browsers from
programs, which get JSON. It imports the catalogue, objects, trees and
references, and of the server the rights, the read log and conditions; Jinja2
makes the text.
"""
