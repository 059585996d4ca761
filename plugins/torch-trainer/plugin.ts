import { apiVersion, definePlugin } from 'simmerkit';
import { baseModel } from './base-model.stage.js';
import { gguf } from './gguf.stage.js';
import { torch } from './torch.trainer.js';

export default definePlugin({
  name: 'torch-trainer',
  version: '0.1.0',
  apiVersion,
  stages: { 'base-model': baseModel, gguf },
  trainers: { torch },
});
