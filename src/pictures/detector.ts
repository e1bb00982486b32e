import { extname } from 'node:path';
import type { Detector, DetectorDescription, OpenDetectorOptions } from './detection.js';
import { describeOwn, openOwn } from './own/ownDetector.js';
import { describeRecipe, openRecipe } from './recipeDetector.js';

const isYaml = (path: string): boolean => ['.yaml', '.yml'].includes(extname(path).toLowerCase());

/**
 * Reads the description in a detector file: the `.onnx` of `importDetector`, or the YAML of the user's own detector.
 * @throws FILE_MISSING, FILE_ACCESS; BAD_DATA for a file that is neither; BAD_ARGUMENT
 */
export const describeDetector = (path: string, options: OpenDetectorOptions = {}): Promise<DetectorDescription> =>
  isYaml(path) ? describeOwn(path, options) : describeRecipe(path, options);

/** Opens a detector. @throws as `describeDetector`; UNSUPPORTED when a package is not installed */
export const openDetector = (path: string, options: OpenDetectorOptions = {}): Promise<Detector> =>
  isYaml(path) ? openOwn(path, options) : openRecipe(path, options);
