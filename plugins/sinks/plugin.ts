import { apiVersion, definePlugin } from 'simmerkit';
import { consoleSink } from './console/console.sink.js';
import { reportSink } from './report/report.sink.js';
import { tensorboardSink } from './tensorboard/tensorboard.sink.js';

export default definePlugin({
  name: 'sinks',
  version: '0.1.0',
  apiVersion,
  sinks: { console: consoleSink, report: reportSink, tensorboard: tensorboardSink },
});
