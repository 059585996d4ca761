import { definePlugin } from 'simmerkit';
import { keepShort } from './keep-short.stage.js';

export default definePlugin({
  name: 'new-plugin',
  version: '0.1.0',
  apiVersion: 1, // that of the simmerkit it was written for
  stages: { 'keep-short': keepShort },
});
