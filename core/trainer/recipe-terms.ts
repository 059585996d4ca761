import { Hyperparameters, Lora } from '../generated/simmer/trainer/v1/trainer.js';

const options = new Set([Hyperparameters, Lora].flatMap((message) => Object.keys(message.fromPartial({}))));

/**
 * What a trainer says, in the words of recipes: trainers name hyperparameters as the proto file does
 * (`max_sequence_length`, `METHOD_LORA`), recipes as `maxSequenceLength` and `method: lora`.
 */
export function inRecipeTerms(message: string): string {
  return message
    .replace(/\b[a-z]+(?:_[a-z0-9]+)+\b/g, (name) => {
      const option = name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
      return options.has(option) ? option : name;
    })
    .replace(/\bMETHOD_([A-Z]+)\b/g, (_, method: string) => `method: ${method.toLowerCase()}`);
}
