import { runTrainerScript, smolLm2Folder } from '../python/trainer-script.js';
import type { Bench, BenchResult } from './bench.js';

/**
 * `npm run bench -- forcing`: budget forcing on SmolLM2 against transformers' generate, against submitting the text again
 * at every wait, and a sweep against its points one by one. `--batch 2 --after 64 --longest 512` is a short run;
 * `--help` names every size.
 */
export const bench: Bench = async (args) => {
  const model = args.includes('--model') || args.includes('--help') ? [] : ['--model', await smolLm2Folder()];
  const { lastLine, code } = await runTrainerScript('test/bench/forcing.py', [...model, ...args]);
  if (code !== 0 || args.includes('--help')) process.exit(code ?? 1);
  return JSON.parse(lastLine) as BenchResult;
};
