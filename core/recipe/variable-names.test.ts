import { expect, it } from 'vitest';
import { isVariableName } from './variable-names.js';

it.each([
  'TEACHER_API_KEY',
  'MYAUTH',
  '_x',
  'MY2NDTEACHERSPRODUCTIONAPIKEY',
  'A1_B2_C3_D4_E5_F6_G7_H8',
  'npm_config_registry',
])('%s names a variable', (name) => {
  expect(isVariableName(name)).toBe(true);
});

it.each([
  '',
  '2ND',
  'with space',
  'my-key',
  'a.b',
  `sk-${'a1'.repeat(10)}`,
  `hf_${'aB'.repeat(17)}`,
  `npm_${'x1'.repeat(18)}`,
  `AKIA${'A'.repeat(16)}`,
  `gsk_${'aB3'.repeat(17)}`,
  'a1b2c3d4e5f60718293a4b5c6d7e8f90',
  'Zk3vQ9xT1mB7nL5pR2wY8cJ4',
  'a'.repeat(100_000),
])('%s names none, and may be a key', (text) => {
  expect(isVariableName(text)).toBe(false);
});
