"""The control API: Volcengine RTC push-to-CDN actions, edition 2023-11-01."""
