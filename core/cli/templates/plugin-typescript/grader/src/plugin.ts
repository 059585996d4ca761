import { apiVersion, definePlugin } from 'simmerkit';
import { closeEnough } from './close-enough.grader.js';

export default definePlugin({
  name: 'new-plugin',
  version: '0.1.0',
  apiVersion,
  graders: { 'close-enough': closeEnough },
});
