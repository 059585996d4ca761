import { expect, it } from 'vitest';
import { readCsv } from './csv-reader.js';

it('a CSV file is read no further than to a fault that ends it, though no sound row stands before or behind', async () => {
  let parts = 0;
  async function* text(): AsyncIterable<string> {
    yield 'question,answer\n';
    for (; parts < 1000; parts++) yield '1,a,b\n'.repeat(1000);
  }
  const reading = readCsv('pool.csv', text(), {})[Symbol.asyncIterator]();
  await expect(reading.next()).rejects.toMatchObject({
    code: 'malformed_data',
    message: expect.stringContaining('pool.csv:2: Invalid Record Length'),
  });
  expect(parts).toBeLessThan(20);
});

it('faults of a CSV file come as they are found, and do not wait in memory for the next sound row', async () => {
  let parts = 0;
  async function* text(): AsyncIterable<string> {
    yield 'question,answer\n0,a\n';
    for (; parts < 1000; parts++) yield '1,a,b\n'.repeat(1000);
  }
  const reading = readCsv('pool.csv', text(), { givesFaults: true })[Symbol.asyncIterator]();
  const places = [await reading.next(), await reading.next(), await reading.next()].map(({ value }) => value?.place);
  expect(places).toEqual([2, 3, 4].map((line) => ({ file: 'pool.csv', line })));
  expect(parts).toBeLessThan(20);
  await reading.return?.();
});
