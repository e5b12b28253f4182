/** What optimizers share: parameter groups, the step, and a state that is saved and restored exactly. */

import { ConfigError, kindOf, show } from "../core/errors.js";
import { checkOptions } from "../core/options.js";
import { assign, checkValue, refuseKeys, type StateValue } from "../nn/state.js";
import { noGrad } from "../tensor/autograd.js";
import { zerosLike } from "../tensor/create.js";
import { keep, tidy } from "../tensor/scope.js";
import { Tensor } from "../tensor/tensor.js";
import { checkHyperparameters, checkList, checkScale, checkState } from "./check.js";
import { type Gradients, gradientsOf, type NamedParameter } from "./gradients.js";

/** Parameters, alone or with their names: `model.parameters()` or `model.namedParameters()`. */
export type Parameters = Iterable<Tensor | readonly [string, Tensor]>;

/** Parameters with options of their own; what is not given comes from the optimizer. */
export type ParameterGroup<Options> = { readonly params: Parameters } & Partial<Options>;

/** One group as the optimizer holds it. Its options may be changed between steps. */
export interface Group<Options> {
  readonly params: readonly NamedParameter[];
  options: Options;
}

/** What an optimizer remembers of one parameter. */
export interface ParameterState {
  /** Steps taken, this one included. */
  step: number;
  readonly tensors: Record<string, Tensor>;
}

/** Everything needed to go on: numbers for a JSON file, tensors for a safetensors file. The tensors are not copies. */
export interface OptimizerState<T = Tensor> {
  type: string;
  groups: { options: Record<string, unknown>; params: string[] }[];
  steps: Record<string, number>;
  /** `<parameter>.<moment>`. */
  tensors: Record<string, T>;
}

/** One parameter that takes part in a step. */
export interface ParameterStep<Options> {
  readonly parameter: Tensor;
  readonly grad: Tensor;
  readonly state: ParameterState;
  readonly options: Options;
}

/** Options of one step. */
export interface StepOptions {
  /** A 0-d tensor on the device that multiplies every gradient: `clipCoefficient()`. */
  scale?: Tensor;
}

const STATE_HINT = "It belongs to the parameters it was made for.";

/**
 * What all optimizers share: groups of parameters, their moments, steps, state. A state says whose it is by the name of
 * the class, so each says its own (`static name`): minifiers rename classes, and a page's checkpoint is for Node too.
 */
export abstract class Optimizer<Options extends { lr: number }> {
  readonly groups: Group<Options>[];
  private readonly states = new Map<Tensor, ParameterState>();

  /** Names of the moments each parameter has; they start at 0. */
  protected abstract readonly moments: readonly string[];

  constructor(params: Parameters | readonly ParameterGroup<Options>[], defaults: Options) {
    const type = new.target.name;
    checkList(type, params);
    const list = [...params] as (Tensor | readonly [string, Tensor] | ParameterGroup<Options>)[];
    const isGroup = (item: unknown): item is ParameterGroup<Options> => Object.hasOwn(Object(item), "params");
    const groups = list.length > 0 && list.every(isGroup) ? list : [{ params: list as unknown as Parameters }];
    const seen = new Set<Tensor | string>();
    this.groups = groups.map(({ params: own, ...options }) => {
      checkHyperparameters(type, options, defaults);
      const named = [...own].map((item) => {
        const [name, tensor] = item instanceof Tensor || !Array.isArray(item) ? [String(seen.size / 2), item] : item;
        if (!(tensor instanceof Tensor) || !tensor.isLeaf) {
          const got = tensor instanceof Tensor ? "the result of an operation" : kindOf(tensor);
          throw new ConfigError(`${type}: needs leaf tensors as parameters, got ${got} for ${name}.`, { where: type });
        }
        if (seen.has(tensor)) throw new ConfigError(`${type}: the parameter ${name} is given twice.`, { where: type });
        if (seen.has(name)) {
          throw new ConfigError(`${type}: needs a name for each parameter, got ${name} twice.`, {
            where: type,
            hint: "States are saved by name: of two models, put the model's own before each.",
          });
        }
        seen.add(tensor).add(name);
        return { name, tensor };
      });
      return { params: named, options: { ...defaults, ...options } as Options };
    });
    if (seen.size === 0) throw new ConfigError(`${type}: needs at least one parameter.`, { where: type });
    for (const { options } of this.groups) this.checkGroup(type, options);
  }

  /** Those that its update reads under these options. */
  protected momentsOf(_options: Options): readonly string[] {
    return this.moments;
  }

  /** Refuses options that a group cannot have, those of a file too. */
  protected checkGroup(where: string, options: Options): void {
    checkHyperparameters(where, options, this.groups[0].options);
  }

  /** Updates parameters in place. */
  protected abstract update(steps: readonly ParameterStep<Options>[], scale: Tensor | undefined): void;

  /** The learning rate of the first group; setting it sets all groups. */
  get lr(): number {
    return this.groups[0].options.lr;
  }

  set lr(value: number) {
    for (const group of this.groups) group.options.lr = value;
  }

  /**
   * One step from the parameters' own `.grad`, or from gradients given by name or in order. Parameters without a
   * gradient and frozen ones stay as they are.
   */
  step(grads?: Gradients, options: StepOptions = {}): void {
    checkOptions(`${this.constructor.name}: step`, options, ["scale"]);
    const { scale } = options;
    if (scale !== undefined) checkScale(this.constructor.name, scale);
    // A rate that a schedule or a caller has set since: NaN would reach every weight.
    for (const group of this.groups) this.checkGroup(`${this.constructor.name}: step`, group.options);
    const given = gradientsOf(
      this.constructor.name,
      this.groups.flatMap(({ params }) => params),
      grads,
    );
    noGrad(() =>
      tidy(() => {
        const steps: ParameterStep<Options>[] = [];
        for (const { params, options } of this.groups) {
          for (const { tensor: parameter } of params) {
            const grad = given.get(parameter);
            if (!grad || !parameter.requiresGrad) continue;
            steps.push({ parameter, grad, state: this.stateOf(parameter, options), options });
          }
        }
        for (const { state } of steps) state.step++;
        try {
          this.update(steps, scale);
        } catch (error) {
          for (const { state } of steps) state.step--; // refused, so it counts for nothing
          throw error;
        }
      }),
    );
  }

  private stateOf(parameter: Tensor, options: Options): ParameterState {
    const state = this.states.get(parameter) ?? { step: 0, tensors: {} };
    const absent = this.momentsOf(options).filter((name) => !state.tensors[name]);
    const made = tidy(() => absent.map((name) => [name, zerosLike(parameter)] as const));
    for (const [name, moment] of made) state.tensors[name] = keep(moment);
    this.states.set(parameter, state);
    return state;
  }

  /** Drops the gradients of all parameters. */
  zeroGrad(): void {
    for (const { params } of this.groups) {
      for (const { tensor } of params) {
        tensor.grad?.dispose();
        tensor.grad = undefined;
      }
    }
  }

  /** Options, steps and moments, by parameter name (by number where parameters came without names). */
  stateDict(): OptimizerState {
    const held = this.groups.flatMap(({ params }) =>
      params.flatMap(({ name, tensor }) => {
        const own = this.states.get(tensor);
        return own ? [{ name, ...own }] : [];
      }),
    );
    const named = ({ name, tensors }: (typeof held)[number]) =>
      Object.entries(tensors).map(([moment, value]) => [`${name}.${moment}`, value] as const);
    return {
      type: this.constructor.name,
      groups: this.groups.map(({ params, options }) => ({
        options: { ...options },
        params: params.map(({ name }) => name),
      })),
      // Not assigned one by one: no name is special then, nor is __proto__.
      steps: Object.fromEntries(held.map(({ name, step }) => [name, step])),
      tensors: Object.fromEntries(held.flatMap(named)),
    };
  }

  /** Restores what `stateDict` gave: the next step gives the same bits. Refuses a state of other parameters or type. */
  loadStateDict(state: OptimizerState<StateValue>): void {
    const where = `${this.constructor.name}: loadStateDict`;
    if (typeof state !== "object" || state === null) {
      throw new ConfigError(`${where}: needs what stateDict() gave, got ${kindOf(state)}.`, { where });
    }
    if (state.type !== this.constructor.name) {
      throw new ConfigError(`${where}: needs the state of ${this.constructor.name}, got ${show(state.type)}.`, {
        where,
      });
    }
    checkState(where, { ...state });
    const own = this.groups.map(({ params }) => params.map(({ name }) => name));
    const given = state.groups.map(({ params }) => params);
    const [names, others] = [own.flat(), given.flat()];
    const missing = names.filter((name) => !others.includes(name));
    refuseKeys(where, { missing, unexpected: others.filter((name) => !names.includes(name)) }, names, STATE_HINT);
    if (own.length !== given.length) {
      throw new ConfigError(`${where}: needs ${own.length} parameter groups, got ${given.length}.`, { where });
    }
    own.forEach((group, i) => {
      if (group.length === given[i].length && group.every((name) => given[i].includes(name))) return;
      throw new ConfigError(`${where}: needs the same parameters in group ${i}, got ${given[i].join(", ")}.`, {
        where,
      });
    });
    refuseKeys(
      where,
      { missing: [], unexpected: Object.keys(state.steps).filter((name) => !names.includes(name)) },
      names,
      STATE_HINT,
    );
    const options = this.groups.map((group, i) => ({ ...group.options, ...(state.groups[i].options as Options) }));
    for (const each of options) this.checkGroup(where, each);
    const expected = this.groups.flatMap(({ params }, i) =>
      params
        .filter(({ name }) => Object.hasOwn(state.steps, name))
        .flatMap(({ name, tensor }) =>
          this.momentsOf(options[i]).map((moment) => ({ key: `${name}.${moment}`, tensor })),
        ),
    );
    const lost = expected.map(({ key }) => key).filter((key) => !Object.hasOwn(state.tensors, key));
    refuseKeys(where, { missing: lost, unexpected: [] }, [], STATE_HINT);
    // All is checked before anything is written.
    for (const { key, tensor } of expected) checkValue(`${where}: ${key}`, tensor, state.tensors[key]);
    this.groups.forEach((group, i) => {
      group.options = options[i];
      for (const { name, tensor } of group.params) {
        if (!Object.hasOwn(state.steps, name)) {
          this.forget(tensor);
          continue;
        }
        const target = this.stateOf(tensor, options[i]);
        target.step = state.steps[name];
        for (const moment of this.momentsOf(options[i])) {
          const key = `${name}.${moment}`;
          assign(`${where}: ${key}`, target.tensors[moment], state.tensors[key]);
        }
      }
    });
  }

  private forget(parameter: Tensor): void {
    for (const tensor of Object.values(this.states.get(parameter)?.tensors ?? {})) tensor.dispose();
    this.states.delete(parameter);
  }

  /** Frees the moments. */
  dispose(): void {
    for (const parameter of [...this.states.keys()]) this.forget(parameter);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Two groups: weights of two dims and more decay, vectors (biases, norms) do not. */
export function decayGroups(
  named: Iterable<readonly [string, Tensor]>,
  weightDecay: number,
): { params: (readonly [string, Tensor])[]; weightDecay: number }[] {
  checkList("decayGroups", named);
  const all = [...named];
  for (const item of all) {
    if (Array.isArray(item)) continue;
    throw new ConfigError(`decayGroups: needs parameters with their names, got ${kindOf(item)}.`, {
      where: "decayGroups",
      hint: "For example model.namedParameters().",
    });
  }
  return [
    { params: all.filter(([, tensor]) => tensor.ndim >= 2), weightDecay },
    { params: all.filter(([, tensor]) => tensor.ndim < 2), weightDecay: 0 },
  ];
}
