import { definePlugin } from 'simmerkit';
import { compare } from './compare.stage.js';
import { exact } from './exact.grader.js';
import { grade } from './grade.stage.js';
import { mathVerify } from './math-verify.grader.js';

export default definePlugin({
  name: 'eval',
  version: '0.1.0',
  apiVersion: 1,
  stages: { grade, compare },
  graders: { exact, 'math-verify': mathVerify },
});
