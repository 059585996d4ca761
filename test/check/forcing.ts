import { runTrainerScript, smolLm2Folder } from '../python/trainer-script.js';

/** `npm run check:forcing [-- --prompts N --tags NAME --model FOLDER ...]`: budget forcing against plain generate. */
const args = process.argv.slice(2);
const model = args.includes('--model') || args.includes('--help') ? [] : ['--model', await smolLm2Folder()];
const { code } = await runTrainerScript('plugins/torch-trainer/python/tests/check_forcing.py', [...model, ...args]);
process.exit(code ?? 1);
