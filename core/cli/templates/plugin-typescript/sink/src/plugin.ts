import { definePlugin } from 'simmerkit';
import { stageTimes } from './stage-times.sink.js';

export default definePlugin({
  name: 'new-plugin',
  version: '0.1.0',
  apiVersion: 1, // that of the simmerkit it was written for
  sinks: { 'stage-times': stageTimes },
});
