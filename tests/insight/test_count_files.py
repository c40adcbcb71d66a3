"""Class counts from files of users."""

import pytest

from mmssl_prior.errors import UserError
from mmssl_prior.insight import read_counts

EXPECTED = [30, 20, 0, 5]


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('a.txt', '# largest first\n30\n20 # cats\n\n0\n5\n'),
        ('a.csv', '30\n20\n0\n5\n'),
        ('a.csv', 'cat,30\ndog,20\nemu,0\nfox,5\n'),
        ('a.csv', '\ufeffid,images,name\n1,30,"a, b"\n2,20,c\n3,0,d\n\n4,5,e\n'),
        ('a.csv', 'class,count\na,30\nb,20.0\nc,0\nd,5\n'),
        ('a.json', '[30, 20, 0, 5]'),
        ('a.json', '{"a": 30, "b": 20, "c": 0, "d": 5}'),
    ],
)
def test_formats(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding='utf-8')
    assert read_counts(tmp_path / name) == EXPECTED


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('a.txt', '3\nmany\n', "a.txt, line 2: 'many'\" is no number of images|line 2: .*many"),
        ('a.txt', '3\n-1\n', 'line 2: .*-1'),
        ('a.txt', '# nothing\n', 'the file holds no counts'),
        ('a.csv', 'class,count\na,3\nb,x\n', 'a.csv, line 3, field 2: .*x'),
        ('a.csv', 'count,class\n3,a\n\n4.5,b\n', 'line 4, field 1: .*4.5'),
        ('a.csv', 'class,count\na\n', 'line 2: 1 fields, expected 2'),
        ('a.csv', 'a,b,c\n1,2,3\n', 'line 1: 3 columns, of which none is called'),
        ('a.json', '{"a": 3, "b": null}', "a.json, field 'b': .*None"),
        ('a.json', '[3, true]', 'entry 1: .*True'),
        ('a.json', '[3, 1e999]', 'entry 1: .*inf'),
        ('a.json', '{', 'no JSON'),
        ('a.json', '3', 'expected a list of numbers or an object'),
        ('a.npy', '', "unknown extension '.npy'; expected one of .txt, .csv, .json"),
    ],
)
def test_mistakes(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        read_counts(tmp_path / name)


def test_no_file(tmp_path):
    with pytest.raises(UserError, match='gone.txt: no such file'):
        read_counts(tmp_path / 'gone.txt')
    with pytest.raises(UserError, match='is a folder'):
        read_counts(tmp_path)
    (tmp_path / 'latin.txt').write_bytes(b'3\n# caf\xe9\n')
    with pytest.raises(UserError, match='latin.txt: cannot be read: not UTF-8'):
        read_counts(tmp_path / 'latin.txt')
