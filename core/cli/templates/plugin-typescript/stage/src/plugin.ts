import { apiVersion, definePlugin } from 'simmerkit';
import { keepShort } from './keep-short.stage.js';

export default definePlugin({
  name: 'new-plugin',
  version: '0.1.0',
  apiVersion,
  stages: { 'keep-short': keepShort },
});
