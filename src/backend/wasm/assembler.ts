/**
 * A small typed WebAssembly assembler: kernels are ordinary TypeScript functions that build code. One memory is
 * imported as `env.memory`; functions are exported under their names, which also go into the name section, so that
 * profiles and stack traces read well.
 */

import { ByteSink, type Code, name as nameBytes, unsigned, vector } from "./encoding.js";
import { codeOf, F32, type FloatLike, I32, type IntLike, type TypeName, typeCode, V128, type Value } from "./values.js";

const wrap = { i32: I32, f32: F32, v128: V128 } as const;
type Instance<K extends TypeName> = InstanceType<(typeof wrap)[K]>;

/** Parameter names with their types, in order. */
export type Parameters = Record<string, TypeName>;
/** The parameters as locals, by name. */
export type ParameterLocals<P extends Parameters> = { [K in keyof P]: Instance<P[K]> };

/** The body of one function, statement by statement. */
export class FunctionBuilder {
  private readonly blocks: Code[][] = [[]];
  private readonly locals: TypeName[] = [];

  constructor(private readonly parameterCount: number) {}

  private emit(...code: Code): void {
    this.blocks[this.blocks.length - 1].push(code);
  }

  private newLocal<K extends TypeName>(type: K): Instance<K> {
    const index = this.parameterCount + this.locals.push(type) - 1;
    return new wrap[type]([0x20, ...unsigned(index)], index) as Instance<K>;
  }

  /** A new local that holds the value from here on. */
  let<T extends Value>(value: T): T {
    const local = this.newLocal(value.type) as T;
    this.set(local, value);
    return local;
  }
  /** A new integer local. */
  i32(initial: IntLike = 0): I32 {
    return this.let(typeof initial === "number" ? I32.const(initial) : initial);
  }
  /** A new float local. */
  f32(initial: FloatLike = 0): F32 {
    return this.let(typeof initial === "number" ? F32.const(initial) : initial);
  }
  /** A new vector local: a given value, or unset (zeros). */
  v128(initial?: V128): V128 {
    const local = this.newLocal("v128");
    if (initial) this.set(local, initial);
    return local;
  }

  set(local: I32, value: IntLike): void;
  set(local: F32, value: FloatLike): void;
  set<T extends Value>(local: T, value: T): void;
  set(local: Value, value: Value | number): void {
    if (local.index === undefined) throw new TypeError("set: needs a local, got an expression.");
    this.emit(codeOf(local.type, value), 0x21, unsigned(local.index));
  }
  /** local += amount. */
  inc(local: I32, amount: IntLike): void {
    this.set(local, local.add(amount));
  }

  private block(body: () => void): Code {
    this.blocks.push([]);
    body();
    return this.blocks.pop() as Code;
  }

  if(condition: I32, then: () => void, otherwise?: () => void): void {
    const yes = this.block(then);
    const no = otherwise ? [0x05, this.block(otherwise)] : [];
    this.emit(condition.code, 0x04, 0x40, yes, no, 0x0b);
  }
  /** Repeats the body while the condition holds. The test stands at the end of the loop and once before it. */
  while(condition: I32, body: () => void): void {
    const inner = this.block(body);
    this.emit(condition.code, 0x04, 0x40, 0x03, 0x40, inner, condition.code, 0x0d, 0, 0x0b, 0x0b);
  }
  /** Runs the body, and again while the condition holds. */
  doWhile(condition: I32, body: () => void): void {
    this.emit(0x03, 0x40, this.block(body), condition.code, 0x0d, 0, 0x0b);
  }
  /** for (i = from; i < to; i += step), signed. */
  for(from: IntLike, to: IntLike, step: IntLike, body: (i: I32) => void): void {
    const i = this.i32(from);
    this.while(i.lt(to), () => {
      body(i);
      this.inc(i, step);
    });
  }
  /** Runs the body `count` times, unsigned. */
  repeat(count: IntLike, body: () => void): void {
    const left = this.i32(count);
    this.while(left, () => {
      body();
      this.inc(left, -1);
    });
  }
  /** Leaves the function. */
  return(): void {
    this.emit(0x0f);
  }
  call(target: FunctionRef, ...values: (Value | number)[]): void {
    this.emit(...values.map((value, k) => codeOf(target.parameters[k], value)), 0x10, unsigned(target.index));
  }

  storeI32(address: I32, value: IntLike, offset = 0): void {
    this.emit(address.code, codeOf("i32", value), 0x36, 2, unsigned(offset));
  }
  storeU16(address: I32, value: IntLike, offset = 0): void {
    this.emit(address.code, codeOf("i32", value), 0x3b, 1, unsigned(offset));
  }
  storeU8(address: I32, value: IntLike, offset = 0): void {
    this.emit(address.code, codeOf("i32", value), 0x3a, 0, unsigned(offset));
  }
  storeF32(address: I32, value: FloatLike, offset = 0): void {
    this.emit(address.code, codeOf("f32", value), 0x38, 2, unsigned(offset));
  }
  storeV128(address: I32, value: V128, offset = 0): void {
    this.emit(address.code, value.code, 0xfd, 11, 2, unsigned(offset));
  }
  /** Stores one lane of 1, 2, 4 or 8 bytes. */
  storeLane(bytes: 1 | 2 | 4 | 8, address: I32, value: V128, lane: number, offset = 0): void {
    const opcode = 88 + Math.clz32(1) - Math.clz32(bytes);
    this.emit(address.code, value.code, 0xfd, unsigned(opcode), 0, unsigned(offset), lane);
  }
  /** Copies bytes, memmove-like. */
  copy(to: I32, from: I32, bytes: IntLike): void {
    this.emit(to.code, from.code, codeOf("i32", bytes), 0xfc, 10, 0, 0);
  }
  /** Fills bytes. */
  fill(to: I32, byte: IntLike, bytes: IntLike): void {
    this.emit(to.code, codeOf("i32", byte), codeOf("i32", bytes), 0xfc, 11, 0);
  }

  /** Declarations of locals (runs of one type), body, end. */
  code(): Code {
    const runs: { count: number; type: TypeName }[] = [];
    for (const type of this.locals) {
      const last = runs[runs.length - 1];
      if (last?.type === type) last.count++;
      else runs.push({ count: 1, type });
    }
    return [vector(runs.map(({ count, type }) => [unsigned(count), typeCode[type]])), this.blocks[0], 0x0b];
  }
}

/** A function that others of its module can call. */
export interface FunctionRef {
  readonly index: number;
  readonly parameters: readonly TypeName[];
}

/** How the module imports its memory; both must match the memory it is given. */
export interface MemoryImport {
  shared: boolean;
  /** Maximum in pages of 64 KiB. */
  maximum: number;
}

interface Entry {
  name: string;
  exported: boolean;
  parameters: TypeName[];
  builder: FunctionBuilder;
}

/** A module under construction. */
export class ModuleBuilder {
  private readonly functions: Entry[] = [];

  /** Defines and exports a function; none has a result. */
  export<P extends Parameters>(
    name: string,
    parameters: P,
    build: (f: FunctionBuilder, p: ParameterLocals<P>) => void,
  ): FunctionRef {
    return this.define(name, true, parameters, build);
  }
  /** Defines a function that only this module calls. */
  internal<P extends Parameters>(
    name: string,
    parameters: P,
    build: (f: FunctionBuilder, p: ParameterLocals<P>) => void,
  ): FunctionRef {
    return this.define(name, false, parameters, build);
  }

  private define<P extends Parameters>(
    name: string,
    exported: boolean,
    parameters: P,
    build: (f: FunctionBuilder, p: ParameterLocals<P>) => void,
  ): FunctionRef {
    const types = Object.values(parameters);
    const builder = new FunctionBuilder(types.length);
    const locals = Object.fromEntries(
      Object.entries(parameters).map(([key, type], index) => [key, new wrap[type]([0x20, ...unsigned(index)], index)]),
    );
    const index = this.functions.push({ name, exported, parameters: types, builder }) - 1;
    build(builder, locals as ParameterLocals<P>);
    return { index, parameters: types };
  }

  /** The finished binary. */
  bytes({ shared, maximum }: MemoryImport): Uint8Array<ArrayBuffer> {
    const sink = new ByteSink();
    const section = (id: number, body: () => void) => {
      sink.put([id]);
      sink.sized(body);
    };
    const list = this.functions;
    sink.put([0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
    section(1, () => {
      const signature = (entry: Entry): Code => [0x60, vector(entry.parameters.map((type) => [typeCode[type]])), 0];
      sink.put(vector(list.map(signature)));
    });
    section(2, () => {
      const limits = [shared ? 3 : 1, ...unsigned(1), ...unsigned(maximum)];
      sink.put([1, nameBytes("env"), nameBytes("memory"), 2, limits]);
    });
    section(3, () => sink.put(vector(list.map((_, k) => unsigned(k)))));
    section(7, () => {
      const exported = list.flatMap((entry, k) =>
        entry.exported ? [[nameBytes(entry.name), 0, unsigned(k)] as Code] : [],
      );
      sink.put(vector(exported));
    });
    section(10, () => {
      sink.put(unsigned(list.length));
      for (const entry of list) sink.sized(() => sink.put(entry.builder.code()));
    });
    section(0, () => {
      sink.put(nameBytes("name"));
      sink.put([1]);
      sink.sized(() => sink.put(vector(list.map((entry, k) => [unsigned(k), nameBytes(entry.name)]))));
    });
    return sink.result();
  }
}
