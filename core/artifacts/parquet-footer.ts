/**
 * What a Parquet file says of itself at its end, as Thrift's compact protocol writes it. Read as a tree that keeps every
 * field, also those that later versions of the format add.
 * See https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
 */
export interface ThriftStruct {
  readonly fields: readonly ThriftField[];
}

interface ThriftField {
  readonly id: number;
  readonly type: number;
  readonly value: ThriftValue;
}

interface ThriftList {
  readonly type: number;
  readonly items: readonly ThriftValue[];
}

type ThriftValue = bigint | Uint8Array | ThriftList | ThriftStruct;

const types = {
  true: 1,
  false: 2,
  byte: 3,
  i16: 4,
  i32: 5,
  i64: 6,
  double: 7,
  binary: 8,
  list: 9,
  struct: 12,
} as const;

/** @throws Error where it is something else */
export function readThrift(bytes: Uint8Array): ThriftStruct {
  return new ThriftReader(bytes).struct();
}

export function writeThrift(struct: ThriftStruct): Uint8Array {
  const bytes: number[] = [];
  writeStruct(struct, bytes);
  return Uint8Array.from(bytes);
}

/** Fields of `FileMetaData`, `RowGroup`, `ColumnChunk` and `ColumnMetaData` in parquet.thrift. */
const file = { rows: 3, rowGroups: 4 } as const;
const rowGroup = { columns: 1, offset: 5, ordinal: 7 } as const;
const columnChunk = { offset: 2, metadata: 3, offsetIndex: 4, columnIndex: 6 } as const;
const columnMetadata = { dataPage: 9, indexPage: 10, dictionaryPage: 11, bloomFilter: 14 } as const;

/** The footer of files of the same columns that stand behind each other. @param places how far each was moved, in bytes */
export function joinFooters(footers: readonly ThriftStruct[], places: readonly number[]): ThriftStruct {
  const rows = footers.reduce((sum, footer) => sum + integerOf(footer, file.rows), 0n);
  const groups = footers.flatMap((footer, at) =>
    itemsOf(footer, file.rowGroups).map((group) => moveRowGroup(group as ThriftStruct, BigInt(places[at] ?? 0))),
  );
  const numbered = groups.map((group, at) => change(group, { [rowGroup.ordinal]: () => BigInt(at) }));
  return change(footers[0] as ThriftStruct, {
    [file.rows]: () => rows,
    [file.rowGroups]: (list) => ({ ...(list as ThriftList), items: numbered }),
  });
}

function moveRowGroup(group: ThriftStruct, by: bigint): ThriftStruct {
  const move = (value: ThriftValue) => (value as bigint) + by;
  const moveChunk = (chunk: ThriftStruct) =>
    change(chunk, {
      // Zero: not said.
      [columnChunk.offset]: (value) => (value === 0n ? value : move(value)),
      [columnChunk.metadata]: (metadata) =>
        change(metadata as ThriftStruct, {
          [columnMetadata.dataPage]: move,
          [columnMetadata.indexPage]: move,
          [columnMetadata.dictionaryPage]: move,
          [columnMetadata.bloomFilter]: move,
        }),
      [columnChunk.offsetIndex]: move,
      [columnChunk.columnIndex]: move,
    });
  return change(group, {
    [rowGroup.columns]: (list) => ({
      ...(list as ThriftList),
      items: (list as ThriftList).items.map((chunk) => moveChunk(chunk as ThriftStruct)),
    }),
    [rowGroup.offset]: move,
  });
}

/** Fields that are not there are not made. */
function change(struct: ThriftStruct, changes: Readonly<Record<number, (value: ThriftValue) => ThriftValue>>) {
  return {
    fields: struct.fields.map((field) => ({ ...field, value: changes[field.id]?.(field.value) ?? field.value })),
  };
}

function integerOf(struct: ThriftStruct, id: number): bigint {
  return struct.fields.find((field) => field.id === id)?.value as bigint;
}

function itemsOf(struct: ThriftStruct, id: number): readonly ThriftValue[] {
  return (struct.fields.find((field) => field.id === id)?.value as ThriftList | undefined)?.items ?? [];
}

class ThriftReader {
  #at = 0;

  constructor(private readonly bytes: Uint8Array) {}

  struct(): ThriftStruct {
    const fields: ThriftField[] = [];
    let id = 0;
    for (let header = this.#byte(); header !== 0; header = this.#byte()) {
      const type = header & 0x0f;
      const step = header >> 4;
      id = step === 0 ? Number(this.#integer()) : id + step;
      const isBoolean = type === types.true || type === types.false;
      fields.push({ id, type, value: isBoolean ? BigInt(type) : this.#value(type) });
    }
    return { fields };
  }

  #value(type: number): ThriftValue {
    switch (type) {
      case types.true:
      case types.false:
      case types.byte:
        return BigInt(this.#byte());
      case types.i16:
      case types.i32:
      case types.i64:
        return this.#integer();
      case types.double:
        return this.#take(8);
      case types.binary:
        return this.#take(Number(this.#unsigned()));
      case types.list:
        return this.#list();
      case types.struct:
        return this.struct();
      default:
        throw new Error(`A Parquet footer has no field of type ${type}.`);
    }
  }

  #list(): ThriftList {
    const header = this.#byte();
    const type = header & 0x0f;
    const size = header >> 4 === 0x0f ? Number(this.#unsigned()) : header >> 4;
    return { type, items: Array.from({ length: size }, () => this.#value(type)) };
  }

  /** Zigzag: the sign is the lowest bit. */
  #integer(): bigint {
    const value = this.#unsigned();
    return (value >> 1n) ^ -(value & 1n);
  }

  #unsigned(): bigint {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }

  #byte(): number {
    return this.#take(1)[0] as number;
  }

  #take(size: number): Uint8Array {
    if (this.#at + size > this.bytes.length) throw new Error('The footer of a Parquet file is cut.');
    this.#at += size;
    return this.bytes.subarray(this.#at - size, this.#at);
  }
}

function writeStruct({ fields }: ThriftStruct, to: number[]): void {
  let last = 0;
  for (const { id, type, value } of fields) {
    const step = id - last;
    if (step > 0 && step < 16) to.push((step << 4) | type);
    else {
      to.push(type);
      writeInteger(BigInt(id), to);
    }
    if (type !== types.true && type !== types.false) writeValue(type, value, to);
    last = id;
  }
  to.push(0);
}

function writeValue(type: number, value: ThriftValue, to: number[]): void {
  if (typeof value === 'bigint') {
    if (type <= types.byte) to.push(Number(value));
    else writeInteger(value, to);
  } else if (value instanceof Uint8Array) {
    if (type === types.binary) writeUnsigned(BigInt(value.length), to);
    for (const byte of value) to.push(byte);
  } else if ('items' in value) {
    const size = value.items.length;
    to.push((Math.min(size, 15) << 4) | value.type);
    if (size >= 15) writeUnsigned(BigInt(size), to);
    for (const item of value.items) writeValue(value.type, item, to);
  } else writeStruct(value, to);
}

function writeInteger(value: bigint, to: number[]): void {
  writeUnsigned(BigInt.asUintN(64, (value << 1n) ^ (value >> 63n)), to);
}

function writeUnsigned(value: bigint, to: number[]): void {
  let left = value;
  for (; left >= 0x80n; left >>= 7n) to.push(Number(left & 0x7fn) | 0x80);
  to.push(Number(left));
}
