# The app with the pack that ships; nothing is downloaded when it runs.
# A tag can move: for a build that stays the same give the base by its digest and a list with hashes
# (docs/SERVING.md says how to get both).
ARG BASE=python:3.11-slim
FROM ${BASE}

ARG REQUIREMENTS=requirements.txt
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
RUN useradd --create-home --uid 1000 app
WORKDIR /srv/heat

COPY ${REQUIREMENTS} .
RUN pip install --no-cache-dir -r ${REQUIREMENTS}

# All of it belongs to root: whoever takes over the server cannot change what it runs.
COPY heat_core heat_core
COPY app app
COPY assets assets
RUN chmod -R a+rX .

USER app
EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/_stcore/health', timeout=3)"]
CMD ["streamlit", "run", "app/main.py", "--server.address=0.0.0.0", "--server.port=8501", "--server.headless=true"]
