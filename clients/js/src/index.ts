/**
 * `fetch` that solves the challenges of a pouw rate limit.
 *
 * @packageDocumentation
 */
export { createPouwClient, PouwClient } from './client.js';
export { toCompact } from './compact.js';
export { computeWorkUnit, type ComputeOptions } from './compute.js';
export { PouwError, type PouwErrorCode, type PouwErrorDetails } from './errors.js';
export { PouwEventSource } from './event-source.js';
export type { PouwEvent, PouwEventDetails, PouwListener } from './events.js';
export { createPouwFetch, pouwEventSource, pouwFetch, pouwWebSocket, type PouwFetch } from './functions.js';
export type {
  EventSourceOptions,
  MaxCost,
  PouwClientOptions,
  StreamOptions,
  WebSocketOptions,
} from './options.js';
export type {
  DifficultyTier,
  EngineChoice,
  PouwWarning,
  Progress,
  WorkResult,
  WorkUnit,
  WorkUnitOperation,
} from './types.js';
