import { describe, expect, it } from 'vitest';
import { isSecretAllowed, listedSecrets, parseAllowedSecret } from './allowed-secrets.js';

describe('a secret that the owner of a server allows', () => {
  const allowed = ['TEACHER', 'MYAUTH=https://api.example.com/v1', 'LOCAL=http://127.0.0.1:8000'].map(
    parseAllowedSecret,
  );

  it.each([
    ['TEACHER', undefined],
    ['TEACHER', 'http://anywhere.example'],
    ['MYAUTH', 'https://api.example.com/v1'],
    ['MYAUTH', 'https://api.example.com/v1/'],
    ['MYAUTH', 'https://API.example.com:443/v1/chat?x=1'],
    ['LOCAL', 'http://127.0.0.1:8000/v1'],
  ])('%s may be sent to %s', (name, url) => {
    expect(isSecretAllowed(allowed, name, url)).toBe(true);
  });

  it.each([
    ['OTHER', 'https://api.example.com/v1'],
    ['teacher', undefined],
    ['MYAUTH', undefined],
    ['MYAUTH', 'http://api.example.com/v1'],
    ['MYAUTH', 'https://api.example.com.attacker.example/v1'],
    ['MYAUTH', 'https://api.example.com@attacker.example/v1'],
    ['MYAUTH', 'https://api.example.com:8443/v1'],
    ['MYAUTH', 'https://api.example.com/v10'],
    ['MYAUTH', 'https://api.example.com/v1/../other'],
    ['MYAUTH', 'https://api.example.com/v1/%2e%2e/other'],
    ['MYAUTH', 'api.example.com/v1'],
  ])('%s may not be sent to %s', (name, url) => {
    expect(isSecretAllowed(allowed, name, url)).toBe(false);
  });

  it.each([
    'SIMMER_SERVER_TOKEN',
    'simmer_server_token=https://a.example',
    '',
    '=https://a.example',
    'A B',
    'A=b',
    'A=',
  ])('is not %j', (text) => {
    expect(() => parseAllowedSecret(text)).toThrow(expect.objectContaining({ code: 'wrong_secret' }));
  });

  it.each(['sk-ant-abcdefghijkl', 'a1b2c3d4e5f6a7b8c9d0e1f2=https://a.example'])(
    'is no key, which is not shown: %j',
    (text) => {
      const error = expect.objectContaining({ message: expect.not.stringContaining(text.slice(0, 8)) });
      expect(() => parseAllowedSecret(text)).toThrow(error);
    },
  );

  it('is never one of the server itself, however it came to be listed', () => {
    expect(isSecretAllowed([{ name: 'SIMMER_SERVER_TOKEN' }], 'SIMMER_SERVER_TOKEN', undefined)).toBe(false);
  });

  it('is told as the owner wrote it', () => {
    expect(listedSecrets(allowed.slice(0, 2))).toBe('TEACHER, MYAUTH=https://api.example.com/v1');
    expect(listedSecrets([])).toBe('none');
  });
});
