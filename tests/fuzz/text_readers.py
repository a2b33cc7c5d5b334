"""Readers of texts: tables, annotations, tracks, descriptions, settings, answers of servers, requests."""

from __future__ import annotations

from . import text_answers, text_catalogs, text_documents, text_tables, text_typed

TARGETS = [*text_tables.TARGETS, *text_documents.TARGETS, *text_catalogs.TARGETS, *text_answers.TARGETS, *text_typed.TARGETS]
