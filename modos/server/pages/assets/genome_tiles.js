// What the genome view fetches: pieces of fixed borders, each asked for once, and what is read out of them.
"use strict";

var modosGenome = (() => {
  const MOST_KEPT = 128 * 1024 * 1024; // bytes of pieces
  const READS = 1 << 14; // bases of a piece of reads
  const BASES = 1 << 17;
  const BINS = 1024; // bins of a piece of a track
  const GENES = 1 << 20;

  class Failure extends Error {}

  // --- requests ---

  const base = document.documentElement.dataset.base || "";

  async function ask(path, params, accept, headers) {
    const query = new URLSearchParams(params).toString();
    const target = base + path + (query ? "?" + query : "");
    let answer;
    try {
      answer = await fetch(target, { headers: { Accept: accept, ...headers }, credentials: "same-origin" });
    } catch {
      throw new Failure("the server does not answer");
    }
    if (!answer.ok) throw new Failure(await explain(answer));
    compare(path, answer.headers.get("Modos-Version"));
    return answer;
  }

  const versions = new Map(); // path -> what its answers are of
  const changes = { count: 0, tell: () => {} };

  // Pieces of what was changed since the page was opened do not go together with those from before.
  function compare(path, version) {
    const before = versions.get(path);
    if (!version || version === before) return;
    versions.set(path, version);
    if (before === undefined) return;
    pieces.clear();
    near.clear();
    changes.count++;
    changes.tell();
  }

  async function explain(answer) {
    let told = "";
    try {
      const found = await answer.json();
      told = found.message || (found.htsget && found.htsget.message) || "";
    } catch {
      // what is no JSON says nothing that people read
    }
    if (answer.status === 401) return "you are not signed in" + (told ? ": " + told : "");
    if (answer.status === 403) return "you may not read this" + (told ? ": " + told : "");
    return told || "the server answers with an error (" + answer.status + ")";
  }

  async function whole(answer) {
    try {
      return await answer.arrayBuffer();
    } catch {
      throw new Failure("the answer broke off before its end");
    }
  }

  const encode = (path) => path.split("/").map(encodeURIComponent).join("/");
  const region = (contig, start, end) => "{" + contig + "}:" + (start + 1) + "-" + end;

  // --- pieces that are kept ---

  class Pieces {
    constructor(most) {
      this.most = most;
      this.size = 0;
      this.kept = new Map(); // key -> { promise, size }
    }

    get(key, load) {
      const known = this.kept.get(key);
      if (known) {
        this.kept.delete(key);
        this.kept.set(key, known);
        return known.promise;
      }
      const entry = { size: 0 };
      entry.promise = load().then(
        (found) => {
          if (this.kept.get(key) !== entry) return found; // all was dropped meanwhile
          entry.size = found.size || 0;
          this.size += entry.size;
          this.drop();
          return found;
        },
        (error) => {
          if (this.kept.get(key) === entry) this.kept.delete(key);
          throw error;
        },
      );
      this.kept.set(key, entry);
      return entry.promise;
    }

    clear() {
      this.kept.clear();
      this.size = 0;
    }

    drop() {
      for (const [key, entry] of this.kept) {
        if (this.size <= this.most || this.kept.size < 2) return;
        if (!entry.size) continue;
        this.kept.delete(key);
        this.size -= entry.size;
      }
    }
  }

  const pieces = new Pieces(MOST_KEPT);

  function numbers(start, end, width) {
    const first = Math.floor(Math.max(start, 0) / width);
    const last = Math.max(Math.ceil(end / width) - 1, first);
    return Array.from({ length: last - first + 1 }, (_, at) => first + at);
  }

  // --- BGZF ---

  const END = [31, 139, 8, 4, 0, 0, 0, 0, 0, 255, 6, 0, 66, 67, 2, 0, 27, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];

  async function inflate(buffer) {
    const bytes = new Uint8Array(buffer);
    const end = bytes.length - END.length;
    if (end < 0 || END.some((byte, at) => bytes[end + at] !== byte)) throw new Failure("the answer broke off before its end");
    const blocks = [];
    for (let at = 0; at < end; ) {
      const extra = bytes[at + 10] | (bytes[at + 11] << 8);
      let size = 0;
      for (let field = at + 12; field < at + 12 + extra; ) {
        const length = bytes[field + 2] | (bytes[field + 3] << 8);
        if (bytes[field] === 66 && bytes[field + 1] === 67 && length === 2) size = (bytes[field + 4] | (bytes[field + 5] << 8)) + 1;
        field += 4 + length;
      }
      if (bytes[at] !== 31 || bytes[at + 1] !== 139 || !size || at + size > end) throw new Failure("the answer is damaged");
      blocks.push(inflateBlock(bytes.subarray(at + 12 + extra, at + size - 8), bytes, at + size));
      at += size;
    }
    return join(await Promise.all(blocks));
  }

  async function inflateBlock(deflated, bytes, end) {
    const expected = bytes[end - 4] | (bytes[end - 3] << 8) | (bytes[end - 2] << 16) | (bytes[end - 1] << 24);
    let found;
    try {
      const stream = new Blob([deflated]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
      found = new Uint8Array(await new Response(stream).arrayBuffer());
    } catch {
      throw new Failure("the answer is damaged");
    }
    if (found.length !== expected) throw new Failure("the answer is damaged");
    return found;
  }

  function join(parts) {
    const all = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
    let at = 0;
    for (const part of parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }

  // Blocks of BGZF that are not compressed, for a reader that takes nothing else.
  function store(bytes) {
    const most = 65280;
    const parts = [];
    for (let at = 0; at < bytes.length || !parts.length; at += most) {
      const piece = bytes.subarray(at, at + most);
      const size = piece.length + 31;
      const head = new Uint8Array(23);
      head.set([31, 139, 8, 4, 0, 0, 0, 0, 0, 255, 6, 0, 66, 67, 2, 0, (size - 1) & 255, (size - 1) >> 8]);
      head.set([1, piece.length & 255, piece.length >> 8, ~piece.length & 255, (~piece.length >> 8) & 255], 18);
      parts.push(head, piece, new Uint8Array([0, 0, 0, 0, piece.length & 255, (piece.length >> 8) & 255, 0, 0]));
    }
    parts.push(new Uint8Array(END));
    return join(parts);
  }

  // --- names of contigs: those of the view, and those of a file ---

  class Names {
    constructor(names) {
      this.names = names && new Map(Object.entries(names));
      this.back = names && new Map(Object.entries(names).map(([own, name]) => [name, own]));
    }

    of(contig) {
      return this.names ? this.names.get(contig) : contig;
    }

    own(name) {
      return this.back ? this.back.get(name) || name : name;
    }
  }

  // --- reads ---

  class Reads {
    constructor(lane) {
      this.lane = lane;
      this.names = new Names(lane.names);
    }

    slice(params) {
      const given = { format: "BAM", ...params, ...(this.lane.is_bounded ? { partial: "true" } : {}) };
      return ask("/slices/reads/" + encode(this.lane.file), given, "*/*", { "Modos-Stored-Key": "1" }).then(whole).then(inflate);
    }

    async head() {
      const found = await pieces.get("head " + this.lane.path, async () => {
        const bytes = await this.slice({ class: "header" });
        return { bytes: this.rename(bytes), size: bytes.length };
      });
      return found.bytes;
    }

    // The header of a BAM, its contigs called as the view calls them (SAMv1, section 4.2).
    rename(bytes) {
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      const text = view.getInt32(4, true);
      const parts = [bytes.subarray(0, text + 12)];
      let at = text + 12;
      for (let left = view.getInt32(text + 8, true); left > 0; left--) {
        const length = view.getInt32(at, true);
        const name = new TextDecoder().decode(bytes.subarray(at + 4, at + 3 + length));
        const own = new TextEncoder().encode(this.names.own(name) + "\0");
        const size = new DataView(new ArrayBuffer(4));
        size.setInt32(0, own.length, true);
        parts.push(new Uint8Array(size.buffer), own, bytes.subarray(at + 4 + length, at + 8 + length));
        at += 8 + length;
      }
      return join(parts);
    }

    piece(contig, number) {
      const name = this.names.of(contig);
      const params = { referenceName: name, start: number * READS, end: (number + 1) * READS };
      return pieces.get(["reads", this.lane.path, contig, number].join(" "), async () => {
        const bytes = await this.slice(params);
        const begin = endOfHead(bytes);
        return { bytes, offsets: findRecords(bytes, begin), size: bytes.length };
      });
    }

    // The reads of a stretch, each once: of each piece but the first those that begin in it.
    async read(contig, start, end) {
      if (this.names.of(contig) === undefined) return this.head();
      const [head, ...found] = await Promise.all([this.head(), ...numbers(start, end, READS).map((number) => this.piece(contig, number))]);
      const parts = [head];
      const first = numbers(start, end, READS)[0];
      found.forEach(({ bytes, offsets }, at) => {
        const view = new DataView(bytes.buffer, bytes.byteOffset);
        const from = at ? offsets.findIndex((offset) => view.getInt32(offset + 8, true) >= (first + at) * READS) : 0;
        if (from >= 0 && from < offsets.length) parts.push(bytes.subarray(offsets[from]));
      });
      return join(parts);
    }
  }

  function endOfHead(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const text = view.getInt32(4, true);
    let at = text + 12;
    for (let left = view.getInt32(text + 8, true); left > 0; left--) at += 8 + view.getInt32(at, true);
    return at;
  }

  function findRecords(bytes, begin) {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const offsets = [];
    for (let at = begin; at < bytes.length; at += 4 + view.getInt32(at, true)) {
      if (at + 36 > bytes.length || view.getInt32(at, true) < 32) throw new Failure("the answer is damaged");
      offsets.push(at);
    }
    return offsets;
  }

  // --- variants ---

  class Variants {
    constructor(lane) {
      this.lane = lane;
      this.names = new Names(lane.names);
      this.width = windowOf(lane) / 4;
    }

    async slice(params) {
      const given = { format: "VCF", ...params, ...(this.lane.is_bounded ? { partial: "true" } : {}) };
      const answer = await ask("/slices/variants/" + encode(this.lane.file), given, "*/*", { "Modos-Stored-Key": "1" });
      return new TextDecoder().decode(await inflate(await whole(answer)));
    }

    async head() {
      const found = await pieces.get("head " + this.lane.path, async () => {
        const text = await this.slice({ class: "header" });
        const lines = text.split("\n").map((line) => {
          const contig = line.match(/^(##contig=<ID=)([^,>]+)(.*)$/);
          return contig ? contig[1] + this.names.own(contig[2]) + contig[3] : line;
        });
        return { text: lines.join("\n"), size: text.length * 2 };
      });
      return found.text;
    }

    piece(contig, number) {
      const params = { referenceName: this.names.of(contig), start: number * this.width, end: (number + 1) * this.width };
      return pieces.get(["variants", this.lane.path, contig, number].join(" "), async () => {
        const text = await this.slice(params);
        const lines = text.split("\n").filter((line) => line && line[0] !== "#");
        return { lines: lines.map((line) => contig + line.slice(line.indexOf("\t"))), size: text.length * 2 };
      });
    }

    async read(contig, start, end) {
      if (this.names.of(contig) === undefined) return "";
      const wanted = numbers(start, end, this.width);
      const found = await Promise.all(wanted.map((number) => this.piece(contig, number)));
      const lines = found.flatMap((piece, at) =>
        at ? piece.lines.filter((line) => positionOf(line) >= wanted[at] * this.width) : piece.lines,
      );
      return lines.join("\n") + "\n";
    }
  }

  function positionOf(line) {
    const begin = line.indexOf("\t") + 1;
    return Number(line.slice(begin, line.indexOf("\t", begin))) - 1;
  }

  // Bases up to which variants are drawn: fewer where there are many samples; a power of two.
  function windowOf(lane) {
    const wanted = 4e7 / (20 + (lane.samples || 0));
    return 1 << Math.max(14, Math.min(20, Math.floor(Math.log2(wanted))));
  }

  // --- numbers ---

  const BINARY = "application/octet-stream";
  const WINDOWS = ["mean", "min", "max"];

  // A power of two, so that bins are those of the zoom levels of a track.
  function sizeOfBins(bases) {
    return 2 ** Math.max(0, Math.floor(Math.log2(Math.max(bases, 1))));
  }

  class Track {
    constructor(lane, frame) {
      this.lane = lane;
      this.frame = frame;
      this.names = new Names(lane.names);
    }

    piece(contig, number, size) {
      const start = number * BINS * size;
      const end = Math.min(start + BINS * size, this.frame.get(contig));
      return pieces.get(["bins", this.lane.path, contig, size, number].join(" "), async () => {
        const params = { region: region(this.names.of(contig), start, end), size };
        const answer = await ask("/bins/" + encode(this.lane.path), params, BINARY);
        const values = await floats(answer, 3 * Math.ceil((end - start) / size));
        return { values, start, end, size: values.byteLength };
      });
    }

    async read(contig, start, end, basesPerPixel, what) {
      if (this.names.of(contig) === undefined || start >= end) return [];
      const size = sizeOfBins(basesPerPixel);
      const found = await Promise.all(numbers(start, end, BINS * size).map((number) => this.piece(contig, number, size)));
      const row = Math.max(WINDOWS.indexOf(what), 0);
      return found.flatMap((piece) => toFeatures(contig, piece, size, row, piece.values.length / 3));
    }
  }

  function toFeatures(contig, piece, size, row, bins) {
    const features = [];
    for (let bin = 0; bin < bins; bin++) {
      const value = piece.values[row * bins + bin];
      if (Number.isNaN(value)) continue;
      const start = piece.start + bin * size;
      features.push({ chr: contig, start, end: Math.min(start + size, piece.end), value });
    }
    return features;
  }

  async function floats(answer, count) {
    const buffer = await whole(answer);
    if (buffer.byteLength !== 4 * count) throw new Failure("the answer broke off before its end");
    const view = new DataView(buffer);
    return Float32Array.from({ length: count }, (_, at) => view.getFloat32(4 * at, true));
  }

  const NOT_COUNTED = 0x704; // flags of reads that samtools depth leaves out
  const COUNTED = 6 * READS; // bases up to which depth is counted of the reads that are drawn

  // The depth of reads, with what is said of how it is known.
  class Depth {
    constructor(lane, frame, reads, tell) {
      this.lane = lane;
      this.frame = frame;
      this.reads = reads;
      this.tell = tell;
      this.names = new Names(lane.names);
    }

    // The depth of a piece of reads that are there to be drawn; the server counts where a CIGAR is kept elsewhere.
    async count(contig, number, size) {
      const { bytes, offsets } = await this.reads.piece(contig, number);
      const start = number * READS;
      const end = Math.min(start + READS, this.frame.get(contig));
      const depth = countDepth(bytes, offsets, start, end - start);
      if (!depth) return null;
      const bins = Math.ceil((end - start) / size);
      const values = new Float32Array(bins);
      for (let bin = 0; bin < bins; bin++) {
        const stop = Math.min((bin + 1) * size, end - start);
        let sum = 0;
        for (let at = bin * size; at < stop; at++) sum += depth[at];
        values[bin] = sum / (stop - bin * size);
      }
      return { values, start, end, bins, step: size };
    }

    piece(contig, number, size) {
      const start = number * BINS * size;
      const end = Math.min(start + BINS * size, this.frame.get(contig));
      return pieces.get(["depth", this.lane.path, contig, size, number].join(" "), async () => {
        const bins = Math.ceil((end - start) / size);
        const params = { region: region(this.names.of(contig), start, end), bins, ...(this.lane.is_bounded ? { partial: "true" } : {}) };
        const answer = await ask("/coverage/" + encode(this.lane.path), params, BINARY);
        const values = await floats(answer, bins);
        return { values, start, end, how: answer.headers.get("Modos-How"), size: values.byteLength, bins };
      });
    }

    async read(contig, start, end, basesPerPixel) {
      if (this.names.of(contig) === undefined || start >= end) return [];
      const size = sizeOfBins(basesPerPixel);
      if (this.reads && end - start <= COUNTED) {
        const counted = await Promise.all(numbers(start, end, READS).map((number) => this.count(contig, number, Math.min(size, READS))));
        if (counted.every(Boolean)) {
          this.tell("");
          return counted.flatMap((piece) => depthFeatures(contig, piece));
        }
      }
      const found = await Promise.all(numbers(start, end, BINS * size).map((number) => this.piece(contig, number, size)));
      this.tell(["estimate", "track"].find((how) => found.some((piece) => piece.how === how)) || "");
      return found.flatMap((piece) => depthFeatures(contig, piece));
    }
  }

  function depthFeatures(contig, piece) {
    const features = [];
    const width = piece.end - piece.start;
    for (let bin = 0; bin < piece.bins; bin++) {
      const value = piece.values[bin];
      if (Number.isNaN(value)) continue;
      const edge = (number) =>
        piece.step ? Math.min(piece.start + number * piece.step, piece.end) : piece.start + Math.floor((number * width) / piece.bins);
      features.push({ chr: contig, start: edge(bin), end: edge(bin + 1), value });
    }
    return features;
  }

  // The depth of each base as samtools depth counts it, by flags and CIGAR (SAMv1, section 4.2); null where it cannot be told.
  function countDepth(bytes, offsets, start, width) {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const changes = new Int32Array(width + 1);
    for (const offset of offsets) {
      if (view.getUint16(offset + 18, true) & NOT_COUNTED) continue;
      const operations = view.getUint16(offset + 16, true);
      let position = view.getInt32(offset + 8, true) - start;
      let at = offset + 36 + bytes[offset + 12];
      const first = operations === 2 ? view.getUint32(at, true) : 0;
      if (operations === 2 && (first & 15) === 4 && first >>> 4 === view.getInt32(offset + 20, true)) return null;
      for (let left = operations; left > 0; left--, at += 4) {
        const operation = view.getUint32(at, true);
        const length = operation >>> 4;
        const kind = operation & 15;
        if (kind === 0 || kind === 7 || kind === 8) {
          const low = Math.min(Math.max(position, 0), width);
          const high = Math.min(Math.max(position + length, 0), width);
          changes[low] += 1;
          changes[high] -= 1;
        }
        if (kind === 0 || kind === 2 || kind === 3 || kind === 7 || kind === 8) position += length;
      }
    }
    for (let at = 1; at < width; at++) changes[at] += changes[at - 1];
    return changes;
  }

  // --- genes ---

  class Genes {
    constructor(lane, frame, tell) {
      this.lane = lane;
      this.frame = frame;
      this.tell = tell;
      this.names = new Names(lane.names);
    }

    piece(contig, number, width) {
      const start = number * width;
      const end = Math.min(start + width, this.frame.get(contig));
      return pieces.get(["genes", this.lane.path, this.lane.annotation, contig, width, number].join(" "), async () => {
        const params = { region: region(this.names.of(contig), start, end), annotation: this.lane.annotation };
        const answer = await ask("/features/" + encode(this.lane.path), params, "application/json");
        const found = await answer.json();
        return { features: found.features, shown: found.shown, size: 500 * found.features.length + 100 };
      });
    }

    async read(contig, start, end) {
      end = Math.min(end, this.frame.get(contig) || end);
      if (this.names.of(contig) === undefined || start >= end) return [];
      const width = Math.max(GENES, 2 ** Math.ceil(Math.log2((end - start) / 4)));
      const wanted = numbers(start, end, width);
      const found = await Promise.all(wanted.map((number) => this.piece(contig, number, width)));
      this.tell(found.map((piece) => piece.shown).filter((shown) => shown !== "all transcripts")[0] || "");
      const seen = new Set();
      const features = [];
      for (const feature of found.flatMap((piece) => piece.features)) {
        const key = [feature.kind, feature.id, feature.start, feature.end, feature.name].join(" ");
        if (!seen.has(key)) {
          seen.add(key);
          features.push(toGene(contig, feature));
        }
      }
      return features;
    }
  }

  function toGene(contig, feature) {
    const [first, last] = feature.coding || [];
    const exons = (feature.exons || []).map(([start, end]) => {
      if (first === undefined || end <= first || start >= last) return { start, end, utr: true };
      return { start, end, ...(start < first ? { cdStart: first } : {}), ...(end > last ? { cdEnd: last } : {}) };
    });
    const found = { chr: contig, start: feature.start, end: feature.end, name: feature.name, strand: feature.strand };
    return { ...found, id: feature.id, type: feature.type, kind: feature.kind, exons: exons.length ? exons : undefined };
  }

  // --- bases ---

  const near = new Map(); // contig and number -> bases of pieces that were read, for those who cannot wait

  class Sequence {
    constructor(frame, lengths, fallback, fail) {
      this.frame = frame;
      this.lengths = lengths;
      this.fallback = fallback;
      this.fail = fail;
    }

    get chromosomes() {
      return this.fallback.chromosomes;
    }

    get chromosomeNames() {
      return [...this.lengths.keys()];
    }

    getFirstChromosomeName() {
      return this.chromosomeNames[0];
    }

    getSequenceRecord(contig) {
      return this.fallback.getSequenceRecord(contig);
    }

    piece(contig, number) {
      const start = number * BASES;
      const end = Math.min(start + BASES, this.lengths.get(contig));
      return pieces.get(["bases", contig, number].join(" "), async () => {
        const answer = await ask("/sequence/" + encode(this.frame.path), { region: region(contig, start, end) }, "text/plain");
        const bases = await answer.text();
        if (bases.length !== end - start) throw new Failure("the answer broke off before its end");
        near.set(contig + " " + number, bases);
        while (near.size > 64) near.delete(near.keys().next().value);
        return { bases, size: bases.length * 2 };
      });
    }

    async getSequence(contig, start, end) {
      const length = this.lengths.get(contig);
      const low = Math.max(0, Math.floor(start));
      const high = Math.min(Math.ceil(end), length || 0);
      if (!this.frame.has_bases || low >= high) return null;
      try {
        const wanted = numbers(low, high, BASES);
        const found = await Promise.all(wanted.map((number) => this.piece(contig, number)));
        const bases = found.map((piece) => piece.bases).join("");
        const from = low - wanted[0] * BASES;
        return "N".repeat(low - Math.floor(start)) + bases.slice(from, from + high - low) + "N".repeat(Math.ceil(end) - high);
      } catch (error) {
        this.fail(error);
        return null;
      }
    }

    getSequenceInterval(contig, start, end) {
      const low = Math.max(0, Math.floor(start));
      const high = Math.min(Math.ceil(end), this.lengths.get(contig) || 0);
      if (low >= high) return undefined;
      const wanted = numbers(low, high, BASES);
      const found = wanted.map((number) => near.get(contig + " " + number));
      if (found.some((bases) => bases === undefined)) return undefined;
      const features = found.join("");
      const begin = wanted[0] * BASES;
      const stop = begin + features.length;
      return {
        chr: contig,
        start: begin,
        end: stop,
        features,
        getSequence: (from, to) => (from < begin || to > stop ? null : features.slice(from - begin, to - begin)),
        hasSequence: (from, to) => from >= begin && to <= stop,
      };
    }
  }

  return { ask, changes, encode, Depth, Failure, Genes, Reads, Sequence, Track, Variants, WINDOWS, base, pieces, store, windowOf };
})();
