/**
 * `fetch` that solves the challenges of a pouw rate limit.
 *
 * @packageDocumentation
 */
export { createPouwClient, createPouwFetch, pouwFetch, PouwClient, type PouwFetch } from './client.js';
export { toCompact } from './compact.js';
export { computeWorkUnit, type ComputeOptions } from './compute.js';
export { PouwError, type PouwErrorCode, type PouwErrorDetails } from './errors.js';
export type { PouwEvent, PouwEventDetails, PouwListener } from './events.js';
export type { MaxCost, PouwClientOptions } from './options.js';
export type {
  DifficultyTier,
  EngineChoice,
  PouwWarning,
  Progress,
  WorkResult,
  WorkUnit,
  WorkUnitOperation,
} from './types.js';
