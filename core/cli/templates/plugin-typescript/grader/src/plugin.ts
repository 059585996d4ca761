import { definePlugin } from 'simmerkit';
import { closeEnough } from './close-enough.grader.js';

export default definePlugin({
  name: 'new-plugin',
  version: '0.1.0',
  apiVersion: 1, // that of the simmerkit it was written for
  graders: { 'close-enough': closeEnough },
});
