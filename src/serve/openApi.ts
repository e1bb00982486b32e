import { z } from 'zod';
import type { Route } from './routes.js';
import { answerSchemas, type RequestSchemas } from './schemas.js';

const pictureTypes = ['image/jpeg', 'image/png', 'image/webp'] as const;

/** The statuses of problems that every POST can have. */
const problems: Readonly<Record<string, string>> = {
  400: 'The request is not well formed',
  404: 'The server does not have what is named',
  408: 'The body did not arrive in time',
  413: 'The body is too large',
  415: 'The body is of a media type that the server does not take',
  422: 'A value does not fit the model, or the picture cannot be read',
  429: 'Too many requests wait; Retry-After says when to ask again',
  501: 'The weights have no such head, or the server has no detector',
  503: 'The server stops, or the answer took too long',
};

const jsonSchema = (schema: z.ZodType, io: 'input' | 'output') => {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
  return rest;
};

const parametersOf = (schema: z.ZodObject) => {
  const { properties = {}, required = [] } = jsonSchema(schema, 'input') as {
    properties?: Record<string, { description?: string }>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, { description, ...rest }]) => ({
    ...{ name, in: 'query', description, required: required.includes(name), schema: rest },
  }));
};

/** The OpenAPI 3.1 document of the routes. Its schemas are those that check the requests. */
export function openApiDocument(routes: readonly Route[], schemas: RequestSchemas, version: string): object {
  const operation = ({ method, path, summary, request, answers }: Route) => {
    const schema = request && schemas[request];
    const content = answers.includes('/')
      ? { [answers]: { schema: { type: 'string' } } }
      : { 'application/json': { schema: { $ref: `#/components/schemas/${answers}Result` } } };
    const body = request && { schema: { $ref: `#/components/schemas/${request}Request` } };
    const failing = method === 'POST' ? Object.keys(problems) : schema ? ['400', '404'] : [];
    return {
      ...{ operationId: `${method.toLowerCase()}${path.replaceAll('/', '-')}`, summary },
      ...(method === 'GET' && schema ? { parameters: parametersOf(schema) } : {}),
      ...(method === 'POST' && schema
        ? {
            // With a picture as the body, the other fields are in the query.
            parameters: parametersOf(schema)
              .filter(({ name }) => !['picture', 'pictures', 'questions', 'sentences'].includes(name))
              .map((parameter) => ({ ...parameter, required: false })),
            requestBody: {
              required: true,
              content: {
                'application/json': body,
                ...Object.fromEntries(pictureTypes.map((type) => [type, {}])),
              },
            },
          }
        : {}),
      responses: {
        200: { description: summary, content },
        ...Object.fromEntries(
          failing.map((status) => [
            status,
            {
              description: problems[status],
              content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/problem' } } },
            },
          ]),
        ),
      },
    };
  };
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) (paths[route.path] ??= {})[route.method.toLowerCase()] = operation(route);
  const { problem, ...results } = answerSchemas;
  return {
    openapi: '3.1.0',
    info: { title: 'lxmert serve', version, description: 'Questions about pictures, answered by one LXMERT model.' },
    paths,
    components: {
      schemas: {
        ...mapped(schemas, (name) => `${name}Request`, 'input'),
        ...mapped(results, (name) => `${name}Result`, 'output'),
        problem: jsonSchema(problem, 'output'),
      },
    },
  };
}

const mapped = (
  schemas: Readonly<Record<string, z.ZodType>>,
  rename: (name: string) => string,
  io: 'input' | 'output',
): Record<string, object> =>
  Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [rename(name), jsonSchema(schema, io)]));
