// `npm run build:mpi`: the library through which ranks speak MPI, compiled against the MPI of this machine.
import { alone } from './lib/lock.mjs';
import { ensureMpi } from './lib/mpi.mjs';
import { main } from './lib/setup.mjs';

await main(() => alone(ensureMpi));
