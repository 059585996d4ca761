import { runTrainerScript, smolLm2Folder } from '../python/trainer-script.js';
import type { Bench, BenchResult } from './bench.js';

/**
 * `npm run bench -- training`: fine-tuning SmolLM2 on GSM8K (`SIMMER_DATA`) against a plain script of TRL's SFTTrainer,
 * with equal settings and, packed, against TRL's defaults. `--parts default --pairs 7 --held-out 8` is a short run;
 * `--help` names every size.
 */
export const bench: Bench = async (args) => {
  const model = args.includes('--model') || args.includes('--help') ? [] : ['--model', await smolLm2Folder()];
  const { lastLine, code } = await runTrainerScript('test/bench/training.py', [...model, ...args]);
  if (code !== 0 || args.includes('--help')) process.exit(code ?? 1);
  return JSON.parse(lastLine) as BenchResult;
};
