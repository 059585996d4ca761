import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

/** A figure or a text (Markdown) under a name: TensorBoard draws one chart, or shows one text, for each. */
export type TaggedValue =
  | { readonly tag: string; readonly value: number }
  | { readonly tag: string; readonly text: string };

/** What an event file says of one step. */
export interface Summary {
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly step: number;
  readonly values: readonly TaggedValue[];
}

/*
 * The messages are Event (tensorflow/core/util/event.proto), Summary, SummaryMetadata (summary.proto) and TensorProto
 * (tensor.proto in tensorflow/core/framework), of which these few fields are written.
 */
const event = { wallTime: 1, step: 2, fileVersion: 3, summary: 5 } as const;
const summary = { value: 1 } as const;
const summaryValue = { tag: 1, simpleValue: 2, tensor: 8, metadata: 9 } as const;
const metadata = { pluginData: 1 } as const;
const pluginData = { pluginName: 1 } as const;
const tensor = { dtype: 1, shape: 2, stringValue: 8 } as const;
const shape = { dimension: 2 } as const;
const dimension = { size: 1 } as const;
/** DT_STRING of types.proto. */
const stringType = 7;

/** The first message of every event file; readers take its version for granted. @param time milliseconds since 1970 */
export function encodeFileVersion(time: number): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(event.wallTime, WireType.Bit64).double(time / 1000);
  writer.tag(event.fileVersion, WireType.LengthDelimited).string('brain.Event:2');
  return writer.finish();
}

/** An Event with a Summary. */
export function encodeSummary({ time, step, values }: Summary): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(event.wallTime, WireType.Bit64).double(time / 1000);
  writer.tag(event.step, WireType.Varint).int64(step);
  writeMessage(writer, event.summary, () => {
    for (const value of values) writeMessage(writer, summary.value, () => writeValue(writer, value));
  });
  return writer.finish();
}

function writeValue(writer: BinaryWriter, value: TaggedValue): void {
  writer.tag(summaryValue.tag, WireType.LengthDelimited).string(value.tag);
  if ('value' in value) {
    // What is too large for a float is infinite.
    writer.tag(summaryValue.simpleValue, WireType.Bit32).float(Math.fround(value.value));
    return;
  }
  writeMessage(writer, summaryValue.tensor, () => {
    writer.tag(tensor.dtype, WireType.Varint).int32(stringType);
    writeMessage(writer, tensor.shape, () =>
      writeMessage(writer, shape.dimension, () => writer.tag(dimension.size, WireType.Varint).int64(1)),
    );
    writer.tag(tensor.stringValue, WireType.LengthDelimited).string(value.text);
  });
  writeMessage(writer, summaryValue.metadata, () =>
    writeMessage(writer, metadata.pluginData, () =>
      writer.tag(pluginData.pluginName, WireType.LengthDelimited).string('text'),
    ),
  );
}

function writeMessage(writer: BinaryWriter, field: number, writeFields: () => void): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  writeFields();
  writer.join();
}

/** What `encodeSummary` wrote, with empty texts for texts; undefined for an Event without a Summary. */
export function decodeSummary(bytes: Uint8Array): Summary | undefined {
  const read = { time: 0, step: 0, values: [] as TaggedValue[] };
  let isSummary = false;
  readFields(bytes, (reader, field) => {
    if (field === event.wallTime) read.time = Math.round(reader.double() * 1000);
    else if (field === event.step) read.step = Number(reader.int64());
    else if (field === event.summary) {
      isSummary = true;
      readFields(reader.bytes(), (inner, innerField) => {
        if (innerField !== summary.value) return false;
        read.values.push(decodeValue(inner.bytes()));
        return true;
      });
    } else return false;
    return true;
  });
  return isSummary ? read : undefined;
}

function decodeValue(bytes: Uint8Array): TaggedValue {
  let tag = '';
  let value: number | undefined;
  readFields(bytes, (reader, field) => {
    if (field === summaryValue.tag) tag = reader.string();
    else if (field === summaryValue.simpleValue) value = reader.float();
    else return false;
    return true;
  });
  return value === undefined ? { tag, text: '' } : { tag, value };
}

/** @param take reads the field's value; returns whether it did */
function readFields(bytes: Uint8Array, take: (reader: BinaryReader, field: number) => boolean): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (!take(reader, field)) reader.skip(type, field);
  }
}
