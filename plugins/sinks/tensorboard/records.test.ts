import fc from 'fast-check';
import { expect, it } from 'vitest';
import { encodeFileVersion, encodeSummary } from './event-messages.js';
import { frameRecord, intactRecords } from './records.js';

it("frames records as TensorBoard's own writer does", () => {
  const time = 1_700_000_000_500;
  const loss = encodeSummary({ time, step: 300, values: [{ tag: 'train/loss', value: 1.5 }] });
  const file = Buffer.concat([encodeFileVersion(time), loss].map(frameRecord));
  // By tensorboard 2.21's RecordWriter.
  const written =
    '1800000000000000a37f4b220900002040fc54d9411a0d627261696e2e4576656e743a322b3531102100000000000000' +
    '017becf60900002040fc54d94110ac022a130a110a0a747261696e2f6c6f7373150000c03fa5972584';
  expect(file.toString('hex')).toBe(written);
});

const contents = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 5 });

it('reads back what was framed, up to where it was torn', () => {
  fc.assert(
    fc.property(contents, fc.nat({ max: 400 }), (written, cut) => {
      const frames = written.map(frameRecord);
      const file = Buffer.concat(frames).subarray(0, cut);
      const { records, bytes } = intactRecords(file);
      expect(records.map((record) => [...record])).toEqual(written.slice(0, records.length).map((one) => [...one]));
      expect(bytes).toBe(Buffer.concat(frames.slice(0, records.length)).length);
      expect(file.length - bytes).toBeLessThan(frames[records.length]?.length ?? 1);
    }),
  );
});

it('reads nothing from where a bit is wrong', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(), fc.nat({ max: 7 }), (content, place, bit) => {
      const good = frameRecord(content);
      const bad = frameRecord(content);
      bad[place % bad.length]! ^= 1 << bit;
      expect(intactRecords(Buffer.concat([good, bad, good])).bytes).toBe(good.length);
    }),
  );
});
