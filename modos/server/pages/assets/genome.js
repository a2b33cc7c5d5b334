// The genome view: igv.js, fed by what `genome_tiles.js` fetches of this server, and of no other.
"use strict";

(() => {
  const { ask, changes, encode, Depth, Failure, Genes, Reads, Sequence, Track, Variants, WINDOWS, base, pieces, store, windowOf } = modosGenome;
  const view = JSON.parse(document.getElementById("genome-view").textContent);
  const byId = (id) => document.getElementById(id);
  const place = byId("genome-box");
  const lengths = new Map();
  const failures = new Map(); // lane -> message
  const hints = new Map(); // lane -> what is said of what it shows
  const JUMP = "Go to";
  const HOW = { estimate: "an estimate from the index, 1 is the mean of the contig", track: "as a track tells that was made of these reads" };
  const MOST_READS = 32768; // bases up to which reads are drawn
  let browser = null;
  let following = 0;
  let redrawing = 0;
  let locus = null; // the place that is shown: contig, start, end (0-based half-open)

  // --- words for people ---

  function say(text) {
    byId("status").textContent = text;
  }

  function sayPlace() {
    const told = [...hints.values()].filter(Boolean);
    say((locus ? format(locus) : "") + (told.length ? " · " + told.join(" · ") : ""));
  }

  function fail(who, error) {
    if (!(error instanceof Failure)) console.error(error);
    const message = error instanceof Failure ? error.message : "it cannot be drawn: " + (error.message || error);
    if (failures.get(who) === message) return;
    failures.set(who, message);
    showFailures();
  }

  function recover(who) {
    if (failures.delete(who)) showFailures();
  }

  function showFailures() {
    const notes = [...failures].map(([who, message]) => {
      const note = document.createElement("div");
      note.className = "note bad";
      const text = document.createElement("span");
      text.textContent = who + ": " + message;
      const again = document.createElement("button");
      again.type = "button";
      again.className = "small";
      again.textContent = "Try again";
      again.addEventListener("click", () => retry(who));
      note.append(text, ...(who === JUMP ? [] : [again]));
      return note;
    });
    byId("failures").replaceChildren(...notes);
  }

  async function retry(who) {
    recover(who);
    if (!browser) return start();
    await redraw();
  }

  async function redraw() {
    for (const trackView of browser.trackViews) {
      if (trackView.track.type === "ideogram") continue; // which keeps what it has in a cache of its own
      for (const viewport of trackView.viewports) viewport.featureCache = undefined;
    }
    await browser.updateViews();
  }

  changes.tell = () => {
    hint("changed", "what is shown was changed since, and is read anew; reload the page for all that is new");
    clearTimeout(redrawing);
    redrawing = setTimeout(() => browser && redraw(), 300);
  };

  const escape = (text) =>
    String(text).replace(/[&<>"']/g, (found) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" })[found]);

  // --- places ---

  function format({ contig, start, end }) {
    const positions = ":" + (Math.floor(start) + 1).toLocaleString("en-US") + "-" + Math.round(end).toLocaleString("en-US");
    return (lengths.has(contig + positions) ? "{" + contig + "}" : contig) + positions; // for there are contigs called c:1-100
  }

  // A place as people write it: a contig, or one with 1-based inclusive positions; null for anything else.
  function parse(text) {
    const trimmed = text.trim();
    if (lengths.has(trimmed)) return { contig: trimmed, start: 0, end: lengths.get(trimmed) };
    const found = trimmed.match(/^\{?(.+?)\}?[:\t]([\d,]+)(?:[-\t]([\d,]*))?$/);
    if (!found) return null;
    const contig = [found[1], "chr" + found[1], found[1].replace(/^chr/, "")].find((name) => lengths.has(name));
    if (!contig) return null;
    const number = (digits) => Number(digits.replaceAll(",", ""));
    const start = number(found[2]) - 1;
    const end = found[3] === undefined ? start + 1 : found[3] ? number(found[3]) : lengths.get(contig);
    return start >= 0 && start < end && start < lengths.get(contig) ? { contig, start, end: Math.min(end, lengths.get(contig)) } : null;
  }

  async function resolve(text) {
    const known = parse(text);
    if (known) return known;
    const found = await findGenes(text.trim());
    const gene = found.find((one) => one.match === "exact") || (found.length === 1 ? found[0] : null);
    if (!gene) {
      const near = found.slice(0, 5).map((one) => one.name || one.id);
      throw new Failure(
        "there is neither a region nor a gene " + text.trim() + (near.length ? "; did you mean " + near.join(", ") + "?" : ""),
      );
    }
    return around(gene);
  }

  function around(gene) {
    const margin = Math.ceil((gene.end - gene.start) / 10);
    return { contig: gene.contig, start: Math.max(gene.start - margin, 0), end: Math.min(gene.end + margin, lengths.get(gene.contig)) };
  }

  async function findGenes(words) {
    const found = await pieces.get("search " + words.toLowerCase(), async () => {
      const answer = await ask("/genes", { q: words, element: view.frame.path }, "application/json");
      return { genes: (await answer.json()).data.filter((gene) => lengths.has(gene.contig)), size: 2000 };
    });
    return found.genes;
  }

  // A place as igv.js takes it; with tabs where the name of the contig has a colon.
  const toIgv = ({ contig, start, end }) =>
    contig.includes(":") ? [contig, start + 1, end].join("\t") : contig + ":" + (start + 1) + "-" + end;

  // The address follows the view, so that it is a link to it.
  function follow(frames) {
    const frame = frames && frames[0];
    if (!frame || !lengths.has(frame.chr)) return;
    locus = { contig: frame.chr, start: Math.max(frame.start, 0), end: Math.min(frame.end, lengths.get(frame.chr)) };
    const here = new URL(location.href);
    const others = [...here.searchParams].filter(([name]) => name === "element");
    if (here.searchParams.get("add")) others.push(["element", here.searchParams.get("add")]);
    clearTimeout(following);
    following = setTimeout(() => remember(others), 150);
    if (document.activeElement !== byId("locus")) byId("locus").value = format(locus);
    for (const field of document.querySelectorAll("[data-locus]")) field.value = format(locus);
    sayPlace();
  }

  function remember(others) {
    const plain = (value) => encodeURIComponent(value).replaceAll("%2F", "/").replaceAll("%3A", ":").replaceAll("%2C", ",");
    const words = [...others, ["locus", format(locus)]].map(([name, value]) => name + "=" + plain(value));
    history.replaceState(null, "", location.pathname + "?" + words.join("&"));
  }

  // --- lanes ---

  const colours = ["#1f5f8b", "#1d6b3f", "#8a4b08", "#6b2d7a", "#9c2a3b", "#30606a"];

  function toTracks(lane, number) {
    const name = escape(lane.label);
    const common = { name, order: 10 * (number + 1), modos: lane, removable: false };
    const source = (read, who) => ({ getFeatures: guard(read, who), windowFunctions: undefined, searchable: false });
    if (lane.kind === "reads") {
      const reads = new Reads(lane);
      const depth = new Depth(lane, lengths, lane.is_bounded ? null : reads, (how) =>
        hint(lane.path, how ? "depth of " + lane.label + ": " + HOW[how] : ""),
      );
      const read = ({ chr, start, end, bpPerPixel }) => depth.read(chr, start, Math.min(end, lengths.get(chr)), bpPerPixel);
      return [
        {
          ...common,
          name: "Depth: " + name,
          type: "wig",
          featureSource: source(read, "Depth of " + lane.label),
          summarize: false,
          height: 55,
          min: 0,
          autoscale: true,
          color: "#7a8794",
        },
        {
          ...common,
          order: common.order + 1,
          type: "alignment",
          sourceType: "htsget",
          format: "bam",
          url: base + "/htsget/reads/" + encode(lane.file),
          visibilityWindow: MOST_READS,
          showCoverage: false,
          height: 260,
          displayMode: "SQUISHED",
        },
      ];
    }
    if (lane.kind === "variants") {
      const url = base + "/htsget/variants/" + encode(lane.file);
      const shape = { type: "variant", sourceType: "htsget", format: "vcf", expandQuery: false, searchable: false };
      return [{ ...common, ...shape, url, visibilityWindow: windowOf(lane), showGenotypes: (lane.samples || 0) <= 200, height: 110 }];
    }
    if (lane.kind === "track") {
      const track = new Track(lane, lengths);
      const read = ({ chr, start, end, bpPerPixel, windowFunction }) =>
        track.read(chr, start, Math.min(end, lengths.get(chr)), bpPerPixel, windowFunction);
      const served = { ...source(read, lane.label), windowFunctions: WINDOWS };
      return [{ ...common, type: "wig", featureSource: served, summarize: false, autoscale: true, height: 70, color: colours[number % colours.length] }];
    }
    const genes = new Genes(lane, lengths, (shown) => hint(lane.label, shown ? lane.label + ": " + shown : ""));
    const reader = { readFeatures: guard((contig, start, end) => genes.read(contig, start, end), lane.label) };
    const drawn = { type: "annotation", displayMode: "EXPANDED", expandQuery: false, searchable: false, maxRows: 30 };
    return [{ ...common, ...drawn, reader, visibilityWindow: -1, height: 110, color: "#1f3f7a" }];
  }

  function hint(who, text) {
    hints.set(who, text);
    sayPlace();
  }

  // What fails is said under the name of its lane, and drawn as nothing.
  function guard(read, who) {
    return async (...given) => {
      try {
        const before = changes.count;
        let found = await read(...given);
        if (changes.count !== before) found = await read(...given); // a part of it may be of what was there before
        recover(who);
        return found;
      } catch (error) {
        fail(who, error);
        throw error;
      }
    };
  }

  // Reads and variants come piece by piece, in the place of a ticket for each stretch.
  function feed(track) {
    const lane = track.config && track.config.modos;
    if (!lane) return;
    if (track.type === "alignment") {
      const reads = new Reads(lane);
      const reader = track.featureSource.bamReader;
      reader.readHeaderData = guard(async () => store(await reads.head()), lane.label);
      reader.readData = guard(async (contig, start, end) => store(await reads.read(contig, start, end)), lane.label);
    } else if (track.type === "variant") {
      const variants = new Variants(lane);
      const reader = track.featureSource.reader;
      reader.readHeaderData = guard(async () => new TextEncoder().encode(await variants.head()), lane.label);
      reader.readData = guard(
        async (contig, start, end) => new TextEncoder().encode(await variants.read(contig, Math.floor(start), Math.ceil(end))),
        lane.label,
      );
    }
  }

  // What a click on a feature shows: text, whatever a file has in it.
  function describe(track, found) {
    if (!found || !found.length) return undefined;
    const rows = found.map((row) => {
      if (typeof row === "string") return row.startsWith("<hr") ? "<hr>" : "<div>" + escape(row) + "</div>";
      if (row.html) {
        const bare = row.html.replace(/<[^>]*>/g, ""); // whose styles the policy of the page refuses, also where none is drawn
        const text = new DOMParser().parseFromString(bare, "text/html").body.textContent;
        return text ? "<div>" + escape(text) + "</div>" : "<hr>";
      }
      const name = String(row.name ?? "").replaceAll("&nbsp;", " ").replace(/<[^>]*>/g, "").trim();
      return "<div><span>" + escape(name) + "</span>&nbsp;&nbsp;" + escape(row.value ?? "") + "</div>";
    });
    return rows.join("");
  }

  // --- the view ---

  // igv.js tells of a genome before it loads the first track: what reads bases and tracks is put in its place here.
  function prepare({ genome }) {
    const made = genome.browser;
    genome.sequence = new Sequence(view.frame, lengths, genome.sequence, (error) => fail("Reference", error));
    made.alert.present = (error) => {
      if (!failures.size) fail("View", error instanceof Error ? error : new Failure(String(error)));
    };
    const search = made.search.bind(made);
    made.search = async (text, isFirst) => {
      if (isFirst) return search(text, isFirst);
      try {
        const found = await resolve(text);
        recover(JUMP);
        warm(found);
        return await search(toIgv(found));
      } catch (error) {
        fail(JUMP, error);
        return false;
      }
    };
    const create = made.createTrack.bind(made);
    made.createTrack = async (config) => {
      const track = await create(config);
      if (track) feed(track);
      return track;
    };
  }

  async function start() {
    for (const [name, length] of view.frame.contigs || (await askContigs())) lengths.set(name, length);
    const wanted = await firstPlace();
    warm(wanted); // while igv.js is loaded
    if (typeof igv === "undefined" && document.readyState !== "complete") await new Promise((loaded) => addEventListener("load", loaded));
    if (typeof igv === "undefined") throw new Failure("igv.js did not load");
    const rows = [...lengths].map(([name, length]) => [name, length, 0, length, length + 1].join("\t"));
    browser = await igv.createBrowser(place, {
      loadDefaultGenomes: false,
      reference: {
        id: view.frame.name,
        name: view.frame.name,
        fastaURL: base + "/sequence/" + encode(view.frame.path),
        indexURL: new File([rows.join("\n")], "contigs.fai"),
        // Else igv.js takes chr1 for 1, also where there are both; names are matched by `resolve` and `Names`.
        aliasURL: new File([["#name", ...lengths.keys()].join("\n")], "names.txt"),
        wholeGenomeView: false,
      },
      locus: toIgv(wanted),
      tracks: view.lanes.flatMap(toTracks),
      search: false,
      showNavigation: place.clientWidth >= 640,
      showSVGButton: false,
      showSampleNameButton: false,
      showTrackLabelButton: true,
      showCenterGuideButton: false,
      showROITable: false,
      minimumBases: 20,
      listeners: { genomechange: prepare, locuschange: follow, trackclick: describe },
    });
    follow([{ chr: wanted.contig, start: wanted.start, end: wanted.end }]);
    byId("steps").hidden = false;
    place.dataset.ready = "true";
    window.modosBrowser = browser;
  }

  async function askContigs() {
    const answer = await ask("/contigs/" + encode(view.frame.path), {}, "application/json");
    return (await answer.json()).contigs.map(({ name, length }) => [name, length]);
  }

  // Ask for the reads and the bases of a place before igv.js does, which first draws and then asks for one after the other.
  function warm({ contig, start, end }) {
    const width = end - start;
    if (width > MOST_READS) return;
    const low = Math.max(start - width, 0);
    const high = Math.min(end + width, lengths.get(contig));
    const ignore = () => {}; // what fails is asked for again, and said then
    for (const lane of view.lanes) {
      if (lane.kind === "reads") new Reads(lane).read(contig, low, high).catch(ignore);
    }
    if (view.frame.has_bases) new Sequence(view.frame, lengths, null, ignore).getSequence(contig, low, high).catch(ignore);
  }

  async function firstPlace() {
    if (view.locus) {
      try {
        return await resolve(view.locus);
      } catch (error) {
        fail(JUMP, error);
      }
    }
    const contig = lengths.keys().next().value;
    return { contig, start: 0, end: lengths.get(contig) };
  }

  // --- moving ---

  function step(how) {
    if (!browser || !locus) return;
    const width = locus.end - locus.start;
    if (how === "in" || how === "out") return void browser.zoomWithScaleFactor(how === "in" ? 0.5 : 2);
    const shift = Math.max(1, Math.round(width / 3)) * (how === "left" ? -1 : 1);
    const begin = Math.max(0, Math.min(Math.round(locus.start) + shift, lengths.get(locus.contig) - width));
    browser.search(format({ contig: locus.contig, start: Math.floor(begin), end: Math.floor(begin + width) }));
  }

  for (const button of document.querySelectorAll("[data-step]")) {
    button.addEventListener("click", () => step(button.dataset.step));
  }
  place.addEventListener("keydown", (event) => {
    const typed = event.composedPath()[0];
    if (typed.tagName === "INPUT" || event.ctrlKey || event.metaKey || event.altKey) return;
    const how = { ArrowLeft: "left", ArrowRight: "right", "+": "in", "=": "in", "-": "out" }[event.key];
    if (!how) return;
    event.preventDefault();
    step(how);
  });

  // --- genes as one types ---

  const field = byId("locus");
  const list = byId("places");
  let suggested = [];
  let chosen = -1;
  let asked = 0;

  function suggest(genes) {
    suggested = genes;
    chosen = -1;
    list.replaceChildren(
      ...genes.map((gene, at) => {
        const row = document.createElement("li");
        row.setAttribute("role", "option");
        row.id = "place-" + at;
        const where = document.createElement("span");
        where.textContent = " " + format(gene);
        row.append(gene.name || gene.id, where);
        row.addEventListener("pointerdown", (event) => {
          event.preventDefault();
          take(at);
        });
        return row;
      }),
    );
    list.hidden = !genes.length;
    field.setAttribute("aria-expanded", String(genes.length > 0));
    field.removeAttribute("aria-activedescendant");
  }

  function mark(at) {
    chosen = (at + suggested.length) % suggested.length;
    [...list.children].forEach((row, number) => row.setAttribute("aria-selected", String(number === chosen)));
    field.setAttribute("aria-activedescendant", "place-" + chosen);
    list.children[chosen].scrollIntoView({ block: "nearest" });
  }

  function take(at) {
    const gene = suggested[at];
    suggest([]);
    field.value = gene.name || gene.id;
    recover(JUMP);
    if (browser) browser.search(format(around(gene)));
    place.focus();
  }

  let waiting = 0;
  field.addEventListener("input", () => {
    clearTimeout(waiting);
    const words = field.value.trim();
    if (words.length < 2 || parse(words) || !lengths.size) return suggest([]);
    waiting = setTimeout(async () => {
      const number = ++asked;
      try {
        const found = await findGenes(words);
        if (number === asked && field.value.trim() === words) suggest(found.slice(0, 8));
      } catch {
        suggest([]); // where genes cannot be asked, regions can be typed
      }
    }, 150);
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return suggest([]);
    if (!suggested.length) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      mark(chosen + (event.key === "ArrowDown" ? 1 : chosen < 0 ? 0 : -1));
    } else if (event.key === "Enter" && chosen >= 0) {
      event.preventDefault();
      take(chosen);
    }
  });
  field.addEventListener("blur", () => suggest([]));
  byId("jump").addEventListener("submit", (event) => {
    if (!browser) return;
    event.preventDefault();
    clearTimeout(waiting); // what was typed last is not to open the list again
    asked++;
    suggest([]);
    browser.search(field.value);
  });

  start().catch((error) => {
    say("The view could not be loaded.");
    fail("View", error);
  });
})();
