import { apiVersion, definePlugin } from 'simmerkit';
import { stageTimes } from './stage-times.sink.js';

export default definePlugin({
  name: 'new-plugin',
  version: '0.1.0',
  apiVersion,
  sinks: { 'stage-times': stageTimes },
});
