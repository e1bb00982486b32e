export { serve, type Served } from './serve.js';
export { limitDefaults, type Limits, type ServeOptions } from './options.js';
