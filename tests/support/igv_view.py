"""A page with igv.js in a real browser: when it is drawn, and what igv.js holds then."""

from __future__ import annotations

from contextlib import contextmanager

# The place that the page says it shows; none where a page says nothing
_PLACE = """document.getElementById("status")?.textContent.split(" · ")[0]"""
# What is asked of the view is counted until it is done: a place is looked up, and tracks come one step later, before any is `loading`
_SETTLED = f"""locus => {{
    const browser = window.modosBrowser;
    if (browser.underWay === undefined) {{
        browser.underWay = 0;
        for (const name of ["search", "updateViews"]) {{
            const plain = browser[name].bind(browser);
            browser[name] = async (...given) => {{
                browser.underWay += 1;
                try {{
                    return await plain(...given);
                }} finally {{
                    browser.underWay -= 1;
                }}
            }};
        }}
    }}
    const place = {_PLACE};
    const isLinked = place === undefined || new URL(location).searchParams.get("locus") === place;
    return isLinked && (locus === null || place === locus)
        && !browser.underWay && browser.trackViews.every(one => one.viewports.every(part => !part.loading));
}}"""
_HELD = """([type, name]) => {
    const {track, viewports} = modosBrowser.trackViews.find(one => one.track.type === type && one.track.name.includes(name));
    const held = viewports[0].featureCache.features;
    return held.allAlignments ? held.allAlignments().map(read => [read.readName, read.start, read.seq, read.cigar])
        : held.map(one => ({start: one.start, end: one.end, name: one.name || one.names, value: one.value, pos: one.pos, alt: one.alternateBases,
            exons: one.exons}));
}"""


def settle(page, locus=None):
    """Wait until a view is drawn, of a place if one is given, and the address leads there."""
    page.wait_for_selector("#genome-box[data-ready]")
    page.wait_for_function(_SETTLED, arg=locus)


@contextmanager
def moving(page):
    """Wait at the end until another place is drawn than at the beginning, where the view has to be settled."""
    before = page.evaluate(_PLACE)
    yield
    page.wait_for_function(f"before => {_PLACE} !== before", arg=before)
    settle(page)


def held(page, kind, name):
    """What the first track of a kind whose name has a text holds: of reads, name, start, bases and CIGAR."""
    return page.evaluate(_HELD, [kind, name])
