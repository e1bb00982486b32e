import { describe, expect, test } from '@jest/globals';
import { firstHost } from '../../src/distributed/nodeList.js';
import { roleOf } from '../../src/distributed/placement.js';

const torch = { RANK: '3', WORLD_SIZE: '8', LOCAL_RANK: '1', MASTER_ADDR: 'a', MASTER_PORT: '29500' };
const openMpi = { OMPI_COMM_WORLD_RANK: '1', OMPI_COMM_WORLD_SIZE: '4' };
const slurm = {
  ...{ SLURM_PROCID: '2', SLURM_STEP_NUM_TASKS: '4', SLURM_NTASKS: '4', SLURM_JOB_ID: '7', SLURM_STEP_ID: '0' },
  SLURM_STEP_NODELIST: 'n[03-04,07]',
};

describe('roleOf', () => {
  const without = { hasMpi: false };
  const withMpi = { hasMpi: true };

  test('nothing given: alone', () => {
    expect(roleOf({}, without)).toEqual({ kind: 'alone' });
  });

  test("torchrun's variables", () => {
    expect(roleOf(torch, withMpi)).toMatchObject({
      ...{ kind: 'rank', rank: 3, ranks: 8, transport: 'sockets', meeting: { host: 'a', port: 29500 }, localRank: 1 },
    });
    expect(roleOf({ ...torch, LOCAL_RANK: undefined }, withMpi)).toMatchObject({ localRank: undefined });
    expect(roleOf({ ...torch, RANK: '0', WORLD_SIZE: '1' }, withMpi)).toEqual({ kind: 'alone' });
  });

  test("mpirun's variables: over MPI; without its library only with a meeting place", () => {
    expect(roleOf(openMpi, withMpi)).toMatchObject({ kind: 'rank', rank: 1, ranks: 4, transport: 'mpi' });
    expect(() => roleOf(openMpi, without)).toThrow(
      /mpirun started 4 ranks.*lxmert_mpi.so is not built.*apt-get install/s,
    );
    expect(roleOf({ ...openMpi, MASTER_ADDR: 'a', MASTER_PORT: '1' }, without)).toMatchObject({ transport: 'sockets' });
  });

  test("srun's variables: rank 0 is on the first host of the list, at a port of the step's own", () => {
    const role = roleOf(slurm, withMpi);
    expect(role).toMatchObject({ kind: 'rank', rank: 2, ranks: 4, transport: 'sockets', meeting: { host: 'n03' } });
    expect(roleOf({ ...slurm, SLURM_STEP_ID: '1' }, withMpi)).not.toEqual(role);
    expect(roleOf({ ...slurm, PMIX_RANK: '2' }, withMpi)).toMatchObject({ transport: 'mpi' });
    expect(roleOf({ ...slurm, PMIX_RANK: '2' }, { ...withMpi, transport: 'sockets' })).toMatchObject({
      transport: 'sockets',
    });
  });

  test('a process in an allocation that srun did not start is alone', () => {
    expect(roleOf({ SLURM_PROCID: '0', SLURM_NTASKS: '4', SLURM_JOB_ID: '7' }, without)).toEqual({ kind: 'alone' });
  });

  test('the flag beats the environment', () => {
    expect(roleOf(slurm, { ...without, ranks: 1 })).toEqual({ kind: 'alone' });
    expect(roleOf(slurm, { ...without, ranks: 2 })).toEqual({ kind: 'launch', ranks: 2 });
    expect(roleOf(slurm, { ...without, ranks: 4 })).toMatchObject({ kind: 'rank', rank: 2 });
    expect(roleOf({}, { ...without, ranks: 4 })).toEqual({ kind: 'launch', ranks: 4 });
  });

  test('variables that make no sense are refused by name', () => {
    expect(() => roleOf({ ...torch, RANK: 'x' }, without)).toThrow('RANK is "x": expected a whole number');
    expect(() => roleOf({ ...torch, RANK: '8' }, without)).toThrow('RANK is 8 and WORLD_SIZE is 8');
  });
});

test.each([
  ['n1', 'n1'],
  ['n[01-03,07],m1', 'n01'],
  ['a[2,4]b[7-9]', 'a2b7'],
  ['gpu-3.cluster,gpu-4.cluster', 'gpu-3.cluster'],
])('the first host of %s is %s', (list, host) => {
  expect(firstHost(list)).toBe(host);
});
