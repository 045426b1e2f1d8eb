// llama.cpp loads a GGUF and says eight tokens, the other end of bench.reader's `Reader`:
// `node bench/llama.mjs DIRECTORY_OF_LLAMA [mmap|read|direct]`: how it reads, by a mapping unless told otherwise.

import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";

const PROMPT = "The capital of France is";
const TOKENS = 8;
const mode = process.argv[3] ?? "mmap";

const libraries = join(resolve(process.argv[2]), "bins", "linux-x64");
const llama = createRequire(import.meta.url)(join(libraries, "llama-addon.node"));
llama.setLogger(() => {}, 0);
llama.loadBackends(libraries);
await llama.init();

console.log("ready");
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const directory = (await lines.next()).value;
const before = process.resourceUsage();
const started = performance.now();

const [name] = readdirSync(directory).filter((each) => each.endsWith(".gguf"));
const model = new llama.AddonModel(join(directory, name), { gpuLayers: 0, useMmap: mode === "mmap", useDirectIo: mode === "direct" });
if (!(await model.init())) throw new Error("the model does not load");
const context = new llama.AddonContext(model, { contextSize: 256, batchSize: 64, sequences: 1, threads: 2, embeddings: false });
await context.init();
const sampler = new llama.AddonSampler(model);
sampler.applyConfig({ temperature: 0 });
const said = [];
let next = model.tokenize(PROMPT, false);
for (let at = 0; said.length < TOKENS; ) {
    context.initBatch(next.length);
    const [index] = context.addToBatch(0, at, Uint32Array.from(next), Uint32Array.from([next.length - 1]));
    at += next.length;
    await context.decodeBatch();
    const token = await context.sampleToken(index, sampler);
    next = [Array.isArray(token) ? token[0] : token];
    said.push(next[0]);
}

const after = process.resourceUsage();
console.log(
    JSON.stringify({
        seconds: (performance.now() - started) / 1000,
        size_bytes: model.getTotalSize(),
        major_faults: after.majorPageFault - before.majorPageFault,
        cpu_seconds: (after.userCPUTime - before.userCPUTime + after.systemCPUTime - before.systemCPUTime) / 1e6,
        words: model.detokenize(Uint32Array.from(said), true),
    }),
);
process.exit(0);
