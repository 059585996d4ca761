import { definePlugin } from 'simmerkit';
import { generate } from './generate.stage.js';
import { openAiCompatible } from './openai-compatible.stage.js';

export default definePlugin({
  name: 'budget-forcing',
  version: '0.1.0',
  apiVersion: 1,
  stages: { generate, 'openai-compatible': openAiCompatible },
});
