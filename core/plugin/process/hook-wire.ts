import type { AfterPlanResponse, BeforePlanResponse } from '../../generated/simmer/plugin/v1/hook.js';
import { present } from '../../present.js';
import type { PlanObjection, RecipeTree } from '../hooks.js';
import { brokeContract } from './broke-contract.js';

/** Undefined: as it was. @throws UserError `plugin_broke_contract` */
export function toRecipeTree({ recipeJson }: BeforePlanResponse): RecipeTree | undefined {
  if (recipeJson === undefined) return undefined;
  try {
    // Whether it is a recipe is looked at by who calls hooks, as of a plugin in this process.
    return JSON.parse(recipeJson) as RecipeTree;
  } catch (error) {
    throw brokeContract(`returned a recipe that is no JSON: ${(error as Error).message}`);
  }
}

/** @throws UserError `plugin_broke_contract` */
export function toObjections({ objections }: AfterPlanResponse): readonly PlanObjection[] {
  return objections.map(({ code, message, path, hint }) => {
    if (message.trim() === '') throw brokeContract('objected to a plan without a message');
    return {
      message,
      ...present({ code, path, hint }),
    };
  });
}
