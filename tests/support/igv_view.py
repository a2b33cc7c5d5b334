"""A page with igv.js in a real browser: when it is drawn, and what igv.js holds then."""

from __future__ import annotations

_HELD = """([type, name]) => {
    const {track, viewports} = modosBrowser.trackViews.find(one => one.track.type === type && one.track.name.includes(name));
    const held = viewports[0].featureCache.features;
    return held.allAlignments ? held.allAlignments().map(read => [read.readName, read.start, read.seq, read.cigar])
        : held.map(one => ({start: one.start, end: one.end, name: one.name || one.names, value: one.value, pos: one.pos, alt: one.alternateBases,
            exons: one.exons}));
}"""


def settle(page):
    """Wait until a view is drawn."""
    page.wait_for_selector("#genome-box[data-ready]", timeout=60_000)
    page.wait_for_function("() => modosBrowser.trackViews.every(one => one.viewports.every(part => !part.loading))")
    page.wait_for_load_state("networkidle")


def held(page, kind, name):
    """What the first track of a kind whose name has a text holds: of reads, name, start, bases and CIGAR."""
    return page.evaluate(_HELD, [kind, name])
