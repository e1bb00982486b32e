// Jest gives each test file globals of its own. onnxruntime makes arrays of the process's own classes, and compares classes:
// here these are the same.
import { TestEnvironment } from 'jest-environment-node';

export default class OnnxEnvironment extends TestEnvironment {
  async setup() {
    await super.setup();
    Object.assign(this.global, { Float32Array, BigInt64Array, Uint8Array });
  }
}
