import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

export type Metrics = ReturnType<typeof createMetrics>;

/** The metrics of one server in Prometheus' form, with those of the process. */
export function createMetrics(waiting: () => number) {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
  const waits: Gauge = new Gauge({
    ...{ name: 'lxmert_waiting_questions', help: 'Questions that wait for the engine', registers },
    collect: (): void => waits.set(waiting()),
  });
  return {
    registry,
    requests: new Counter({
      ...{ name: 'lxmert_requests_total', help: 'Answered requests', registers },
      labelNames: ['route', 'status'],
    }),
    requestSeconds: new Histogram({
      ...{ name: 'lxmert_request_seconds', help: 'Time from the first byte of a request to its answer', registers },
      labelNames: ['route'],
      buckets: seconds,
    }),
    dropped: new Counter({
      ...{
        name: 'lxmert_dropped_requests_total',
        help: 'Requests whose client went away before the answer',
        registers,
      },
    }),
    batchQuestions: new Histogram({
      ...{ name: 'lxmert_batch_questions', help: 'Questions that the device computed at once', registers },
      buckets: [1, 2, 4, 8, 16, 32, 64, 128],
    }),
    batchSeconds: new Histogram({
      ...{ name: 'lxmert_batch_seconds', help: 'Time of one batch on the device', registers },
      buckets: seconds,
    }),
  };
}
