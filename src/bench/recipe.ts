/** BertAdam as in pre-training. The only requirement for the learning rate is that the numbers stay finite. */
export const adam = { beta1: 0.9, beta2: 0.999, epsilon: 1e-6, weightDecay: 0.01, maxGradNorm: 1 };
export const learningRate = 1e-5;
export const seed = 9595;
