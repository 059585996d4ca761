import { definePlugin } from 'simmerkit';
import { classify } from './classify.stage.js';
import { decontaminate } from './decontaminate.stage.js';
import { deduplicate } from './deduplicate.stage.js';
import { difficulty } from './difficulty.stage.js';
import { distill } from './distill.stage.js';
import { format } from './format.stage.js';
import { generateProblems } from './generate-problems.stage.js';
import { load } from './load.stage.js';
import { mix } from './mix.stage.js';
import { quality } from './quality.stage.js';
import { select } from './select.stage.js';
import { split } from './split.stage.js';
import { tokens } from './tokens.stage.js';
import { verify } from './verify.stage.js';

export default definePlugin({
  name: 'curation',
  version: '0.1.0',
  apiVersion: 1,
  stages: {
    'generate-problems': generateProblems,
    load,
    quality,
    deduplicate,
    decontaminate,
    difficulty,
    classify,
    distill,
    verify,
    tokens,
    select,
    split,
    mix,
    format,
  },
});
