// Jest gives each test file its own globals. onnxruntime makes arrays of the classes of the process, and compares classes.
// In this environment, the classes of the test file are those of the process.
import { TestEnvironment } from 'jest-environment-node';

export default class OnnxEnvironment extends TestEnvironment {
  async setup() {
    await super.setup();
    Object.assign(this.global, { Float32Array, BigInt64Array, Uint8Array });
  }
}
