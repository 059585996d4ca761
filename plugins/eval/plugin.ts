import { definePlugin } from 'simmerkit';
import { choice } from './choice.grader.js';
import { compare } from './compare.stage.js';
import { exact } from './exact.grader.js';
import { grade } from './grade.stage.js';
import { judge } from './judge.grader.js';
import { mathVerify } from './math-verify.grader.js';
import { vote } from './vote.stage.js';

export default definePlugin({
  name: 'eval',
  version: '0.1.0',
  apiVersion: 1,
  stages: { grade, vote, compare },
  graders: { exact, choice, judge, 'math-verify': mathVerify },
});
