import { apiVersion, definePlugin } from 'simmerkit';
import { local } from './local.launcher.js';
import { torchrun } from './torchrun.launcher.js';

export default definePlugin({
  name: 'launchers',
  version: '0.1.0',
  apiVersion,
  launchers: { local, torchrun },
});
