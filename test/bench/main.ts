import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Bench } from './bench.js';

/** `npm run bench -- NAME`: measures, says what it found for people, and ends in one line of JSON for programs. */
const [name = '', ...args] = process.argv.slice(2);
const module = fileURLToPath(new URL(`./${name}.bench.js`, import.meta.url));
if (!/^[a-z][a-z0-9-]*$/.test(name) || !existsSync(module)) {
  const files = await readdir(new URL('.', import.meta.url));
  const names = files.flatMap((file) => (file.endsWith('.bench.js') ? [file.slice(0, -'.bench.js'.length)] : []));
  console.error(`Usage: npm run bench -- NAME, where NAME is one of: ${names.join(', ')}`);
  process.exit(2);
}
const { bench } = (await import(pathToFileURL(module).href)) as { readonly bench: Bench };
const result = await bench(args);
console.log(JSON.stringify({ name, ...result }));
