// Requests bfloat16. An environment variable makes oneDNN treat the CPU as an older one.
process.env.ONEDNN_MAX_CPU_ISA = 'AVX2';
const { addon } = await import('./addon.mjs');

let report = { code: 'none', message: 'an engine was made' };
try {
  addon.createEngine(1, 'bfloat16');
} catch ({ code, message }) {
  report = { code, message };
}
console.log(`REPORT ${JSON.stringify(report)}`);
