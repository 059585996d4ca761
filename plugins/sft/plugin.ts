import { definePlugin } from 'simmerkit';
import { inspect } from './inspect.stage.js';
import { train } from './train.stage.js';

export default definePlugin({ name: 'sft', version: '0.1.0', apiVersion: 1, stages: { train, inspect } });
